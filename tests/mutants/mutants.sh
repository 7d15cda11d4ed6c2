#!/usr/bin/env bash
# Each defect of this folder is caught by the test that it names. timeout: 600 s
exec scripts/mutants
