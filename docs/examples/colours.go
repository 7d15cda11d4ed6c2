// Colours as vectors in a vecfs mount: go run colours.go MOUNT
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// floats gives numbers as little-endian float32.
func floats(numbers []float32) []byte {
	var buffer bytes.Buffer
	binary.Write(&buffer, binary.LittleEndian, numbers)
	return buffer.Bytes()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	mount := os.Args[1]
	colours := map[string][]float32{"red": {1, 0, 0}, "orange": {1, 0.5, 0}, "blue": {0, 0, 1}}
	for name, numbers := range colours {
		check(os.WriteFile(filepath.Join(mount, "vectors", name), floats(numbers), 0600))
	}

	run, err := os.OpenFile(filepath.Join(mount, "query/2/run"), os.O_RDWR, 0)
	check(err)
	_, err = run.Write(floats([]float32{1, 0.2, 0.1}))
	check(err)
	answer, err := io.ReadAll(run)
	check(err)
	check(run.Close())
	for _, line := range strings.Split(strings.TrimSpace(string(answer)), "\n") {
		name, text, _ := strings.Cut(line, "\t")
		distance, err := strconv.ParseFloat(text, 64)
		check(err)
		fmt.Printf("%s\t%.3f\n", name, distance)
	}

	for name := range colours {
		check(os.Remove(filepath.Join(mount, "vectors", name)))
	}
}
