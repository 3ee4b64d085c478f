# Installs, upgrades, removes and purges a package, on a view of this machine that ends with its mount namespace: all writes
# go to memory. Run it as: unshare --mount sh try.sh PACKAGE FOLDER VERSION. Status 3: such a view can't be made here.
set -eu
package=$1 folder=$2 version=$3

mount -t tmpfs none "$folder" || exit 3
mkdir "$folder/upper" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$folder/root" || exit 3
cp "$package" "$folder/root/tenure.deb"
chroot "$folder/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin VERSION="$version" sh -eux <<'END'
as_service() {
    setpriv --reuid tenure --regid tenure --clear-groups \
        tenure --store sqlite:/var/lib/tenure/tenure.db --config /etc/tenure/tenure.toml "$@"
}
dpkg --install /tenure.deb
test -z "$(dpkg --verify tenure)"
test "$(dpkg-query --show --showformat '${Version}' tenure)" = "$VERSION"
as_service token create --name admin --role admin --namespace '*'
as_service serve --check
dpkg --install /tenure.deb
as_service token list
dpkg --remove tenure
test -e /etc/tenure/tenure.toml
dpkg --purge tenure
test ! -e /etc/tenure
test -e /var/lib/tenure/tenure.db
END
