"""A bare Debian 12 without a network becomes a site, is upgraded, goes back, and is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from install.bare import neighbour
from install.sending import await_orthanc, await_states, objects_in_pacs, send, start_pacs
from servers import wait_for

if TYPE_CHECKING:
    from pathlib import Path

    from install.bare import Host
    from install.bundles import Bundle

pytestmark = [pytest.mark.install, pytest.mark.timeout(1800)]
LOG_IN = (
    'python3 -c \'import socket, ssl, urllib.request as r; called = {"Host": socket.gethostname()}; '
    'asked = r.Request("https://127.0.0.1:8043/login", headers=called); '
    "print(r.urlopen(asked, context=ssl._create_unverified_context()).status)'"
)
LARGEST = 1_000_000_000
"""Bytes of a bundle without torch."""


def test_a_bundle_is_less_than_a_gigabyte_and_gpgv_of_a_bare_debian_knows_its_signature(
    bundle: Bundle, site: Host, shared: Path
) -> None:
    assert bundle.archive.stat().st_size < LARGEST
    for path in bundle.archive.parent.iterdir():
        (shared / path.name).unlink(missing_ok=True)
        (shared / path.name).hardlink_to(path)
    name = bundle.archive.name
    site.done(f"gpgv --keyring /shared/release-key.gpg /shared/{name}.sig /shared/{name}")


def test_an_installation_ends_with_the_check_and_says_what_is_left_to_do(
    installed: tuple[tuple[Path, ...], str],
) -> None:
    _, said = installed
    assert "Nothing answers at 127.0.0.1:11112." in said
    assert "one study through the line" in said
    assert "SEG, SR, SUMMARY delivered" in said
    assert "the site is not ready" in said


def test_a_site_that_was_installed_takes_a_study_and_delivers_its_results(site: Host) -> None:
    start_pacs(site)
    checked = site.run("clic-edge check --line")
    assert checked.returncode == 0, checked.stdout
    units = "clic-edge-orthanc clic-edge-worker clic-edge-web clic-edge-backup.timer"
    assert site.done(f"systemctl is-active {units}").split() == ["active"] * 4
    assert site.done(f"systemctl is-enabled {units}").split() == ["enabled"] * 4
    orthanc = "$(systemctl show --property MainPID --value clic-edge-orthanc)"
    assert "/appliance/orthanc/nesting.so" in site.done(f"cat /proc/{orthanc}/maps")
    wait_for(lambda: site.run(LOG_IN).stdout == "200\n", "the pages answer to the host's name")
    send(site, "study1")
    await_states(site, "delivered")
    assert len(objects_in_pacs(site)) == 3  # SEG, SR and the root of the case


def test_another_machine_reaches_dicom_and_not_orthancs_http(site: Host) -> None:
    tables = "/usr/sbin/nft list tables"
    await_orthanc(site)
    with neighbour(site) as reaches:
        assert (reaches(4242), reaches(8042)) == (True, False)
        site.done("systemctl start nftables && systemctl reload nftables")  # forgets all tables
        wait_for(lambda: "clic-edge" in site.done(tables), "the table is there again")
        assert (reaches(4242), reaches(8042)) == (True, False)
        site.done("systemctl stop clic-edge-firewall")
        assert reaches(8042), "Orthanc itself listens to everybody"
        site.done("systemctl start clic-edge-firewall")
        assert not reaches(8042)
    site.done("clic-edge-setup --uninstall")
    assert "clic-edge" not in site.done(tables)


def test_installing_again_changes_nothing_that_the_site_has(site: Host, bundle: Bundle) -> None:
    mine = (
        "/etc/clic-edge/clic-edge.toml /etc/clic-edge/secrets/worker/deid.key /etc/clic-edge/tls/*"
    )
    before = site.done(f"sha256sum {mine}; readlink /opt/clic-edge/current")
    start_pacs(site)
    site.done(f"{bundle.name}/install.sh")
    assert site.done(f"sha256sum {mine}; readlink /opt/clic-edge/current") == before


def unpack(site: Host, bundle: Bundle, shared: Path) -> None:
    """Unpack a bundle on the site."""
    archive = shared / bundle.archive.name
    if not archive.exists():
        archive.hardlink_to(bundle.archive)
    site.done(f"tar -xf /shared/{archive.name}")


def test_a_site_whose_pipeline_the_version_that_comes_refuses_runs_on_as_it_was(
    site: Host, later: Bundle, shared: Path
) -> None:
    running = "systemctl show --property MainPID clic-edge-worker; readlink /opt/clic-edge/current"
    send(site, "study1")
    await_states(site, "waiting")  # the worker has read its pipelines
    before = site.done(running)
    site.done(
        "printf '[deadline]\\nminutes = 0.01\\n' >> /etc/clic-edge/pipelines/hippocampus.toml"
    )
    unpack(site, later, shared)
    refused = site.run(f"{later.name}/install.sh")
    assert refused.returncode == 1
    assert "hippocampus.toml: 'deadline.minutes' are over before" in refused.stderr
    assert refused.stderr.endswith("Correct it, then once more.\n")
    assert site.done(running) == before


def test_a_case_under_way_ends_under_the_version_that_comes_and_the_one_before_can_come_back(
    site: Host, later: Bundle, shared: Path
) -> None:
    send(site, "study1")
    await_states(site, "waiting")  # there is no PACS
    unpack(site, later, shared)
    ended = site.run(f"{later.name}/install.sh")
    assert "is installed, and the site is not ready" in ended.stdout, ended.stdout + ended.stderr
    assert "99.0.0" in site.done("clic-edge --version")
    start_pacs(site)
    await_states(site, "delivered")
    send(site, "study2")
    await_states(site, "delivered", "delivered")
    objects = objects_in_pacs(site)

    back = site.run("clic-edge-setup --rollback")
    assert back.returncode == 0, back.stdout + back.stderr
    assert "The ledger is that of /var/lib/clic-edge/backups/before-99.0.0" in back.stdout
    assert "99.0.0" not in site.done("clic-edge --version")
    await_states(site, "delivered", "delivered")
    again = set(objects_in_pacs(site))
    assert again > set(objects)
    assert len(again) == len(objects) + 3, "the study that came since, by the version before"
    none = site.run("clic-edge-setup --rollback")
    assert (none.returncode, none.stderr) == (
        1,
        "clic-edge: There is no version to go back to. Nothing was changed.\n",
    )


def test_whoever_uninstalls_keeps_the_data_and_purges_only_by_the_name_of_the_machine(
    site: Host,
) -> None:
    site.done("clic-edge-setup --uninstall")
    assert site.run("ls /opt/clic-edge /usr/local/bin/clic-edge").returncode != 0
    assert site.run("systemctl cat clic-edge-worker").returncode != 0
    site.done(
        "ls /var/lib/clic-edge/ledger/clic-edge.sqlite /etc/clic-edge/secrets/worker/deid.key"
    )


def test_a_purge_asks_for_the_name_of_the_machine(site: Host) -> None:
    refused = site.run("clic-edge-setup --purge", stdin="yes\n")
    assert refused.returncode == 1
    site.done("ls /var/lib/clic-edge/ledger/clic-edge.sqlite /opt/clic-edge/current/VERSION")
    name = site.done("hostname")
    assert site.run("clic-edge-setup --purge", stdin=name).returncode == 0
    assert site.run("ls /var/lib/clic-edge").returncode != 0
    assert site.run("ls /etc/clic-edge").returncode != 0
