#!/bin/bash
# Installs this bundle on a bare Debian 12 without network; upgrades, rolls back, uninstalls.
#
#   ./install.sh --trust DIGEST --pacs AETITLE@HOST:PORT     the first time
#   ./install.sh                                             an upgrade, or once more
#   clic-edge-setup --rollback | --uninstall | --purge       later
#
# Everything that could speak against it is looked at before anything is changed.
set -Eeuo pipefail
umask 022

here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
readonly here home=/opt/clic-edge etc=/etc/clic-edge state=/var/lib/clic-edge
readonly services=(clic-edge-orthanc clic-edge-worker clic-edge-web)
readonly timers=(clic-edge-backup.timer)
readonly wanted=(orthanc orthanc-python orthanc-dicomweb orthanc-gdcm dcmtk python3-venv openssl systemd nftables)
readonly certificate_days=825
readonly start_seconds=90

action=install trust='' pacs='' certificate='' certificate_key='' name='' also=() backup='' keys='' passphrase=''
scratch=''

say() { printf 'clic-edge: %s\n' "$*"; }

give_up() {
	printf 'clic-edge: %s\n' "$*" >&2
	exit 1
}

refuse() { give_up "$* Nothing was changed."; }

usage() {
	cat <<-'HELP'
		install.sh [OPTIONS]
		  --trust DIGEST           SHA-256 of release-key.gpg, as you were told it apart from the bundle
		  --pacs AE@HOST:PORT      the PACS that takes results; the first time only
		  --name NAME              of this appliance; by default the host's
		  --certificate FILE       of the pages, in PEM; by default one is made and signed by itself
		  --certificate-key FILE   its private key
		  --also PACKAGE           also install this Debian package of the bundle, e.g. postgresql
		  --restore FILE           begin with what `clic-edge backup` wrote on another machine
		  --keys FILE              the keys that belong to it
		  --passphrase-file FILE   what they are sealed with
		  --check                  say what speaks against it, and change nothing
		  --rollback               go back to the version before
		  --uninstall              remove the programs; settings, keys, ledger and studies stay
		  --purge                  remove those too, when you have said so
	HELP
}

value() {
	[ $# -ge 2 ] || refuse "$1 needs a value."
	printf '%s' "$2"
}

read_arguments() {
	while [ $# -gt 0 ]; do
		case $1 in
		--check | --rollback | --uninstall | --purge | --image | --site) action=${1#--} ;;
		--help | -h)
			usage
			exit 0
			;;
		--trust) trust=$(value "$@") ;;&
		--pacs) pacs=$(value "$@") ;;&
		--name) name=$(value "$@") ;;&
		--certificate) certificate=$(value "$@") ;;&
		--certificate-key) certificate_key=$(value "$@") ;;&
		--also) also+=("$(value "$@")") ;;&
		--restore) backup=$(value "$@") ;;&
		--keys) keys=$(value "$@") ;;&
		--passphrase-file) passphrase=$(value "$@") ;;&
		--trust | --pacs | --name | --certificate | --certificate-key | --also | --restore | --keys | --passphrase-file) shift ;;
		*) refuse "$1 is no option; see install.sh --help." ;;
		esac
		shift
	done
	if [ -n "$certificate$certificate_key" ] && { [ -z "$certificate" ] || [ -z "$certificate_key" ]; }; then
		refuse "--certificate and --certificate-key come together."
	fi
}

# --- before anything is changed

verify_bundle() {
	local known=$trust found
	[ -f "$here/SHA256SUMS.sig" ] || refuse "This is no bundle; run install.sh out of the unpacked archive."
	if [ -z "$known" ] && [ -f "$etc/release-key.sha256" ]; then
		known=$(<"$etc/release-key.sha256")
	fi
	[ -n "$known" ] || refuse "Say whom you trust: --trust and the digest that you were told apart from the bundle."
	found=$(sha256sum "$here/release-key.gpg" | cut -d ' ' -f 1)
	[ "$found" == "$known" ] || refuse "The bundle is signed with the key $found, and not the one that you trust."
	gpgv --quiet --keyring "$here/release-key.gpg" "$here/SHA256SUMS.sig" "$here/SHA256SUMS" 2>/dev/null ||
		refuse "The signature of the bundle is not over its list of checksums; fetch the bundle again."
	(cd "$here" && sha256sum --check --strict --quiet SHA256SUMS >/dev/null 2>&1) ||
		refuse "$(first_changed) is not the file that was signed; fetch the bundle again."
	[ -z "$(unlisted)" ] || refuse "$(unlisted | head -n 1) is not in the list of what was signed; unpack the bundle into an empty folder."
	trust=$found
}

first_changed() {
	cd "$here" || return
	{ sha256sum --check SHA256SUMS 2>/dev/null || true; } | sed -n 's/: FAILED.*//p' | head -n 1
}

# A link is named with what it leads to, so that none is in the list.
unlisted() {
	comm -23 <(cd "$here" && find . ! -type d ! -path ./SHA256SUMS ! -path ./SHA256SUMS.sig -printf '%P%l\n' | sort) \
		<(cut -c 67- "$here/SHA256SUMS" | sort)
}

# A bare Debian has no Python and no openssl: the bundle's are unpacked beside it, and go again.
borrow() {
	local package
	scratch=$(mktemp -d)
	for package in python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libsqlite3-0 libexpat1 \
		zlib1g libssl3 libffi8 openssl; do
		dpkg-deb --extract "$here/packages/${package}"_*.deb "$scratch"
	done
}

borrowed() {
	LD_LIBRARY_PATH="$scratch/usr/lib/x86_64-linux-gnu:$scratch/lib/x86_64-linux-gnu" \
		PYTHONHOME="$scratch/usr" PATH="$scratch/usr/bin:$PATH" "$@"
}

require_pacs() {
	if [ ! -f "$etc/clic-edge.toml" ] && [ -z "$backup" ]; then
		[[ $pacs =~ ^[A-Za-z0-9_.-]{1,16}@[A-Za-z0-9.-]+:[0-9]{1,5}$ ]] ||
			refuse "Say which PACS takes the results: --pacs AETITLE@HOST:PORT."
		[[ ${name:-$(hostname)} =~ ^[A-Za-z0-9_.-]{1,64}$ ]] ||
			refuse "Say what this appliance is called, in letters, digits, points and dashes: --name NAME."
	fi
}

look_first() {
	local why arguments=("$here")
	[ -n "$certificate" ] && arguments+=(--certificate "$certificate" --certificate-key "$certificate_key")
	why=$(borrowed python3.11 -I "$here/preflight.py" "${arguments[@]}" 2>&1) || refuse "$why"
	require_pacs
	if [ -n "$backup" ]; then
		[ ! -f "$etc/clic-edge.toml" ] || refuse "A site is here already; a backup is restored on a machine without one."
		[ -f "$backup" ] || refuse "$backup is not there."
		if [ -z "$keys" ] || [ -z "$passphrase" ]; then
			refuse "Without --keys and --passphrase-file a site can't go on: its pseudonyms would be others."
		fi
	fi
}

# --- the programs

install_packages() {
	local list="$scratch/bundle.list"
	# Debian's own service would take our ports the moment it is there.
	ln -sfn /dev/null /etc/systemd/system/orthanc.service
	printf 'deb [trusted=yes] file:%s/packages ./\n' "$here" >"$list"
	mkdir -p "$scratch/lists/partial"
	local options=(-qq -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=/dev/null
		-o "Dir::State::lists=$scratch/lists" -o APT::Sandbox::User=root -o Acquire::Languages=none
		-o APT::Install-Recommends=false -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold)
	apt-get "${options[@]}" update
	DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" --yes install "${wanted[@]}" "${also[@]}" >"$scratch/apt.log" 2>&1 ||
		{
			tail -n 5 "$scratch/apt.log" >&2
			return 1
		}
	chmod 644 "$list"
}

release_name() {
	printf '%s-%s' "$(<"$here/VERSION")" "$(sha256sum "$here/SHA256SUMS" | cut -c 1-8)"
}

# The list of checksums is copied last: a release without it was not unpacked to its end.
unpack_release() {
	local release=$home/$1
	[ -f "$release/SHA256SUMS" ] && return
	rm -rf "$release"
	mkdir -p "$release"
	cp -r "$here"/tree/. "$release/"
	cp "$here"/{VERSION,sbom.cdx.json,install.sh,preflight.py,ledger-revisions,release-key.gpg} "$release/"
	python3 -m venv "$release/venv"
	"$release/venv/bin/pip" install --quiet --no-index --disable-pip-version-check --no-cache-dir \
		--find-links "$here/wheels" "clic-edge==$(<"$here/VERSION")"
	"$release/venv/bin/python" -m compileall -q "$release/venv/lib" >/dev/null || true
	cp "$here/SHA256SUMS" "$release/"
}

make_users() {
	install -D -m 0644 -t /etc/sysusers.d "$home/$1"/appliance/systemd/sysusers.d/*.conf
	install -D -m 0644 -t /etc/tmpfiles.d "$home/$1"/appliance/systemd/tmpfiles.d/*.conf
	systemd-sysusers
	systemd-tmpfiles --create clic-edge.conf
}

# --- the site

as_service() { runuser -u "clic-edge-$1" -- "${@:2}"; }

make_site() {
	local release=$home/$1
	mkdir -p "$etc/tls"
	if [ -n "$backup" ]; then
		"$release/venv/bin/clic-edge" restore "$backup" --keys "$keys" --passphrase-file "$passphrase" --into "$etc"
	fi
	copy_missing "$release/configs" "$etc"
	copy_missing "$release/models" "$state/models"
	[ -f "$etc/clic-edge.toml" ] || write_settings "$release"
	printf '%s\n' "$trust" >"$etc/release-key.sha256"
	ln -sfn "$home/current/appliance/orthanc.json" "$etc/orthanc/10-appliance.json"
	[ -f "$etc/secrets/worker/deid.key" ] || as_service worker "$release/venv/bin/clic-edge" -c "$etc/clic-edge.toml" deid init-key >/dev/null
	have_settings_read "$release" site orthanc
	if [ ! -f "$etc/secrets/web/page-key" ]; then
		"$release/venv/bin/clic-edge" -c "$etc/clic-edge.toml" deid page-key "$etc/secrets/web/page-key" >/dev/null
		chown clic-edge-web:root "$etc/secrets/web/page-key"
	fi
	make_certificates
	have_settings_read "$release" conformance --offline --out "$scratch/conformance.json"
}

# By the version that comes, while the one before runs on.
have_settings_read() {
	local why
	why=$("$1/venv/bin/clic-edge" -c "$etc/clic-edge.toml" "${@:2}" 2>&1) || give_up "$why Correct it, then once more."
}

# What the site has stays as it is: a model, a rule or a profile changes when a person changes it.
copy_missing() {
	local path
	mkdir -p "$2"
	for path in "$1"/*; do
		case ${path##*/} in
		clic-edge.toml | pipelines) ;;
		*) [ -e "$2/${path##*/}" ] || cp -r "$path" "$2/" ;;
		esac
	done
}

write_settings() {
	local called=${pacs%@*} address=${pacs#*@}
	mkdir -p "$etc/pipelines"
	cp -n "$1/configs/pipelines/hippocampus.toml" "$etc/pipelines/"
	sed -e "s|@NAME@|${name:-$(hostname)}|" -e "s|@CALLED@|$called|" -e "s|@HOST@|${address%:*}|" \
		-e "s|@PORT@|${address##*:}|" "$1/appliance/bundle/site.toml" >"$etc/clic-edge.toml.new"
	mv "$etc/clic-edge.toml.new" "$etc/clic-edge.toml"
}

make_certificates() {
	if [ -n "$certificate" ]; then
		install -m 0644 "$certificate" "$etc/tls/pages.pem"
		install -m 0600 -o clic-edge-web -g root "$certificate_key" "$etc/secrets/web/pages.key"
	fi
	sign_by_itself "$etc/tls/pages.pem" "$etc/secrets/web/pages.key" clic-edge-web
	sign_by_itself "$etc/tls/dicom.pem" "$etc/secrets/orthanc/dicom.key" clic-edge-orthanc
}

# By what a browser may call this machine; the pages answer to no other name.
called() {
	{
		printf 'DNS:%s\n' "$(hostname)" localhost
		{ hostname --fqdn 2>/dev/null || true; } | sed 's/^/DNS:/'
		{ echo 127.0.0.1 && hostname --all-ip-addresses; } | xargs printf 'IP:%s\n'
	} | sort -u | paste -sd ,
}

sign_by_itself() {
	[ -f "$1" ] && return
	(umask 077 && openssl req -x509 -newkey rsa:3072 -nodes -days "$certificate_days" \
		-subj "/CN=$(hostname)" -addext "subjectAltName=$(called)" \
		-keyout "$2" -out "$1" 2>/dev/null)
	chown "$3:root" "$2"
	chmod 0644 "$1"
}

# --- what runs

on_postgresql() { grep -q '^database *= *"postgresql' "$etc/clic-edge.toml"; }

systemd_runs() { [ -d /run/systemd/system ]; }

stop_services() {
	systemd_runs || return 0
	systemctl stop "${timers[@]}" clic-edge.target "${services[@]}" clic-edge-firewall 2>/dev/null || true
}

start_services() {
	if ! systemd_runs; then
		say "systemd does not run here; the services start with the machine."
		return
	fi
	systemctl daemon-reload
	systemctl restart systemd-journald
	systemctl start "${services[@]}" clic-edge.target "${timers[@]}"
}

install_units() {
	local units=$home/$1/appliance/systemd
	install -m 0644 "$units"/*.service "$units"/*.timer "$units"/*.target /etc/systemd/system/
	if [ -e /dev/nvidia0 ]; then
		cp -r "$units"/optional/clic-edge-worker.service.d /etc/systemd/system/
	fi
	# A name without an address is said, and let through when this is run again.
	"$home/$1/venv/bin/clic-edge" site network --into /etc/systemd/system >/dev/null || true
	install -D -m 0644 "$home/$1/appliance/bundle/journald.conf" /etc/systemd/journald.conf.d/clic-edge.conf
	systemctl --quiet enable "${services[@]}" clic-edge.target "${timers[@]}"
}

make_current() {
	ln -sfn "$1" "$home/current"
	ln -sfn "$home/current/venv/bin/clic-edge" /usr/local/bin/clic-edge
	ln -sfn "$home/current/install.sh" /usr/local/sbin/clic-edge-setup
}

take_over() {
	local release=$1 before=''
	[ -L "$home/current" ] && before=$(readlink "$home/current")
	stop_services
	if [ -n "$before" ] && [ "$before" != "$release" ]; then
		keep_ledger "$before" "$release"
		ln -sfn "$before" "$home/previous"
	fi
	make_current "$release"
	install_units "$release"
	start_services
}

# The ledger as the version before leaves it; a rollback may need it.
keep_ledger() {
	local file
	[ -f "$state/ledger/clic-edge.sqlite" ] || on_postgresql || return 0
	file=$state/backups/before-$2-$(date +%Y%m%dT%H%M%S).backup
	if ! as_service worker "$home/$1/venv/bin/clic-edge" ledger backup "$file" >/dev/null; then
		start_services
		give_up "The ledger could not be backed up, so $1 runs on as it was; $2 lies unpacked beside it."
	fi
	printf '%s\n' "$file" >"$home/$2/ledger-before"
}

remove_old_releases() {
	local one
	for one in "$home"/*/; do
		one=$(basename "$one")
		case $one in
		current | previous | "$(readlink "$home/current")" | "$(readlink "$home/previous" 2>/dev/null)") ;;
		*) rm -rf "${home:?}/$one" ;;
		esac
	done
}

prove() {
	local waited=0
	systemd_runs || return 0
	until as_service worker clic-edge cases list >/dev/null 2>&1; do
		sleep 1
		waited=$((waited + 1))
		[ "$waited" -lt "$start_seconds" ] || break
	done
	clic-edge check --line
}

# --- the actions

do_check() {
	verify_bundle
	borrow
	look_first
	say "Nothing speaks against it, and nothing was changed."
}

do_install() {
	local release verdict=0
	verify_bundle
	borrow
	look_first
	release=$(release_name)
	say "installing $release"
	install_packages
	unpack_release "$release"
	make_users "$release"
	make_site "$release"
	take_over "$release"
	remove_old_releases
	prove || verdict=$?
	if [ "$verdict" != 0 ]; then
		say "$release is installed, and the site is not ready: see what has a no above, then clic-edge check --line."
	else
		say "$release is installed."
	fi
	exit "$verdict"
}

# What every container shares, and nothing of a site.
do_image() {
	local release
	# At its end there are no settings, keys, ledger and studies.
	if [ -n "$(find "$etc" "$state" -mindepth 1 -print -quit 2>/dev/null || true)" ]; then
		refuse "A site is here ($etc, $state); an image is made where none is."
	fi
	verify_bundle
	borrow
	release=$(release_name)
	install_packages
	unpack_release "$release"
	make_users "$release"
	make_current "$release"
	rm -rf "$etc" "$state"
	mkdir "$etc" "$state"
}

# The rest, in a container of that image, into the volumes of the site.
do_site() {
	local release
	[ -L "$home/current" ] || refuse "This is no image of clic-edge."
	scratch=$(mktemp -d)
	release=$(readlink "$home/current")
	trust=$(sha256sum "$home/current/release-key.gpg" | cut -d ' ' -f 1)
	require_pacs
	systemd-tmpfiles --create clic-edge.conf
	make_site "$release"
	say "The site of $release is made."
}

do_rollback() {
	local now before file
	[ -L "$home/previous" ] || refuse "There is no version to go back to."
	now=$(readlink "$home/current")
	before=$(readlink "$home/previous")
	[ -x "$home/$before/venv/bin/clic-edge" ] || refuse "$home/$before is gone."
	file=$(cat "$home/$now/ledger-before" 2>/dev/null || true)
	stop_services
	if as_service worker "$home/$before/venv/bin/clic-edge" cases list >/dev/null 2>&1; then
		say "$before reads the ledger as it is: nothing in it is lost."
	else
		put_ledger_back "$before" "$file"
	fi
	ln -sfn "$before" "$home/current"
	rm "$home/previous"
	install_units "$before"
	start_services
	say "$before runs again."
	prove
}

put_ledger_back() {
	local aside
	aside=$state/ledger/rolled-back-$(date +%Y%m%dT%H%M%S)
	if [ ! -f "$2" ]; then
		start_services
		refuse "The ledger is newer than $1 can read, and its backup is gone."
	elif on_postgresql; then
		start_services
		refuse "The ledger is on PostgreSQL: stop the services (systemctl stop ${services[*]}), empty that database, $home/$1/venv/bin/clic-edge ledger restore $2, then once more."
	fi
	install -d -m 0700 "$aside"
	mv "$state"/ledger/clic-edge.sqlite* "$aside/"
	as_service worker "$home/$1/venv/bin/clic-edge" ledger restore "$2" >/dev/null
	say "The ledger is that of $2. Studies that came since are in Orthanc: the worker finds them and makes their results again, beside those of the newer version."
	say "What people said on the pages since then is in $aside only."
}

do_uninstall() {
	stop_services
	systemctl --quiet disable "${services[@]}" clic-edge.target "${timers[@]}" 2>/dev/null || true
	rm -rf /etc/systemd/system/clic-edge* /etc/systemd/journald.conf.d/clic-edge.conf \
		/usr/local/bin/clic-edge /usr/local/sbin/clic-edge-setup "$home"
	systemd_runs && systemctl daemon-reload
	say "The programs are gone; $etc, $state and Debian's packages are left as they are."
}

do_purge() {
	local answer=''
	printf 'Settings, keys, ledger, models and all studies on this machine go for ever. Type %s to say so: ' "$(hostname)"
	read -r answer || true
	[ "$answer" == "$(hostname)" ] || refuse "That was not the name of this machine."
	do_uninstall
	rm -rf "$etc" "$state" /var/cache/clic-edge /etc/sysusers.d/clic-edge.conf /etc/tmpfiles.d/clic-edge.conf
	say "Everything of this site is gone."
}

main() {
	read_arguments "$@"
	[ "$(id -u)" == 0 ] || refuse "Run it as root."
	trap '[ -z "$scratch" ] || rm -rf "$scratch"' EXIT
	trap 'say "It ended in the middle, at: $BASH_COMMAND. Run it again: it goes on from there." >&2' ERR
	"do_$action"
}

main "$@"
