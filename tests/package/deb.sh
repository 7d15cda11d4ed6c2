#!/usr/bin/env bash
# The Debian package: what it depends on, lintian's errors, and that it installs and leaves without a
# trace, below a root of its own. The machine's list of packages is copied there, so that dpkg looks
# at what it depends on, and nothing of the machine is changed.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/package/lib-package.sh
. "$here/lib-package.sh"
for tool in dpkg-deb dpkg-shlibdeps; do
	command -v "$tool" >/dev/null || {
		echo "there is no $tool"
		exit 77
	}
done
package_begin

"$top/scripts/build-deb" "$VECFS" "$work/out" >"$work/said" 2>&1
check $? "make deb: $(cat "$work/said")"
deb=$(ls "$work/out"/vecfs_*.deb)
SOURCE_DATE_EPOCH=1 "$top/scripts/build-deb" "$VECFS" "$work/a" >"$work/said" 2>&1 &&
	SOURCE_DATE_EPOCH=1 "$top/scripts/build-deb" "$VECFS" "$work/b" >"$work/said" 2>&1 &&
	cmp "$work"/a/*.deb "$work"/b/*.deb
check $? "twice the same"

depends=$(dpkg-deb -f "$deb" Depends)
for package in fuse3 libc6 libfuse3- liblz4-1 libxxhash0; do
	[[ ", $depends" == *", $package"* ]]
	check $? "depends on $package: $depends"
done
# No more than what the program is linked with: each library's package, and fuse3.
needed=$(readelf -d "$VECFS" | grep -c NEEDED)
[ "$(tr ',' '\n' <<<"$depends" | wc -l)" -le $((needed + 1)) ]
check $? "on nothing that is not needed"
[ "$(dpkg-deb -f "$deb" Version)" = "$("$VECFS" --version | cut -d ' ' -f 2)" ]
check $? "its version is the program's"
[ -z "$(dpkg-deb -c "$deb" | awk '$2 != "root/root"')" ]
check $? "everything is root's"
dpkg-deb -c "$deb" | awk '$6 !~ /^\.\/(usr\/.*)?$/' >"$work/elsewhere"
[ ! -s "$work/elsewhere" ]
check $? "everything is below /usr"

if command -v lintian >/dev/null; then
	mkdir "$work/home"
	HOME=$work/home lintian --allow-root --no-cfg --fail-on error "$deb" >"$work/said" 2>&1
	check $? "lintian finds no errors"
	cat "$work/said"
else
	echo "not looked at: lintian, which is not there"
fi

# --- installed and removed ---

root=$work/root
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/log"
touch "$root/var/lib/dpkg/available"
awk -v RS= -v ORS='\n\n' '!/^Package: vecfs\n/' /var/lib/dpkg/status >"$root/var/lib/dpkg/status"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v fakeroot >/dev/null; then
		echo "not looked at: installing, for which one has to be root or have fakeroot"
		package_end
	fi
	as_root=(fakeroot)
fi
run_dpkg() {
	${as_root[@]+"${as_root[@]}"} dpkg --root="$root" --force-script-chrootless "$@" >"$work/said" 2>&1
}
(cd "$root" && find . ! -type d ! -path './var/*' -print) >"$work/before"
run_dpkg --install "$deb"
check $? "installed with all it depends on"
[ "$(sed -n '/^Package: vecfs$/,/^$/s/^Status: //p' "$root/var/lib/dpkg/status")" = "install ok installed" ]
check $? "dpkg says so"
"$root/usr/bin/vecfs" --version | grep -q '^vecfs [0-9]'
check $? "the program runs"
"$root/usr/sbin/mkfs.vecfs" "$work/s" --dim=2 && "$root/usr/sbin/fsck.vecfs" -a "$work/s" | grep -q clean
check $? "by its other names too"
zcat "$root/usr/share/man/man8/mkfs.vecfs.8.gz" | grep -q mkfs
check $? "with its pages"
run_dpkg --verify vecfs && [ ! -s "$work/said" ]
check $? "all files are as packed"
run_dpkg --purge vecfs
check $? "removed"
(cd "$root" && find . ! -path './var*') >"$work/after"
[ "$(cat "$work/after")" = . ]
check $? "nothing is left: $(xargs <"$work/after")"

# Where something is missing, it does not install.
sed -i '/^Package: libxxhash0$/,/^$/s/^Status: .*/Status: deinstall ok config-files/' "$root/var/lib/dpkg/status"
! run_dpkg --install "$deb" && grep -q 'libxxhash0' "$work/said"
check $? "not installed where a library is missing"
package_end
