"""Machines of a test's own on one network: namespaces of the kernel, for root on Linux.

Each has an address, processes, a disk, shared memory and a boot id that no other has. Losing one
leaves its peers what a power cut leaves them: connections that nobody closes or answers.
"""

import os
import subprocess
import uuid

_PREFIX = "10.77.0"

# Ends with its first process, and everything in it does.
_MACHINE = "unshare --net --mount --pid --ipc --uts --fork --kill-child --mount-proc".split()

_BOOT = """
mount -t tmpfs disk "$DISK"
echo "$BOOT_ID" > "$DISK/boot_id"
mount --bind "$DISK/boot_id" /proc/sys/kernel/random/boot_id
mount -t tmpfs shm /dev/shm
mkdir -m 700 "$DISK/run"
hostname "host-$NUMBER"
ip link set lo up
echo up
exec sleep infinity
"""


class Network:
    """A switch, and the machines on it by number."""

    def __init__(self, disk):
        """Every machine has its disk at the path `disk`."""
        self.disk = disk
        self.hosts = {}
        self._switch = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        _wait_for_program(self._switch.pid, "sleep")
        self._on_switch("link", "add", "switch", "type", "bridge")
        self._on_switch("link", "set", "switch", "up")

    def boot(self, number):
        """A machine that has nothing yet."""
        host = self.hosts[number] = Host(number, self.disk)
        port = f"port{number}"
        # Its successor has the same, so that nobody looks for it elsewhere.
        card = ["name", "eth0", "address", f"02:00:00:00:00:{number:02x}", "netns", str(host.first)]
        self._on_switch("link", "add", port, "type", "veth", "peer", *card)
        self._on_switch("link", "set", port, "master", "switch", "up")
        host.run("ip", "address", "add", f"{host.address}/24", "dev", "eth0")
        host.run("ip", "link", "set", "eth0", "up")

    def unplug(self, number):
        self._on_switch("link", "set", f"port{number}", "down")

    def plug_in(self, number):
        self._on_switch("link", "set", f"port{number}", "up")

    def cut_power(self, number):
        """No process of it says goodbye to anybody, and its disk goes with it."""
        self._on_switch("link", "delete", f"port{number}")  # else it may outlive the machine
        self.hosts.pop(number).end()

    def end(self):
        for host in self.hosts.values():
            host.end()
        self._switch.kill()
        self._switch.wait()

    def _on_switch(self, *arguments):
        subprocess.run(
            ["nsenter", "--net", "-t", str(self._switch.pid), "ip", *arguments], check=True
        )


class Host:
    def __init__(self, number, disk):
        self.address = f"{_PREFIX}.{number + 1}"
        variables = {"DISK": str(disk), "BOOT_ID": str(uuid.uuid4()), "NUMBER": str(number)}
        self._machine = subprocess.Popen(
            [*_MACHINE, "sh", "-ec", _BOOT],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._machine.stdout.readline() == "up\n"
        pid = self._machine.pid
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            self.first = int(children.read())  # of its processes, as seen from outside
        self._environment = {**os.environ, "XDG_RUNTIME_DIR": str(disk / "run")}

    def start(self, *command, **options):
        """A process on it."""
        enter = ["nsenter", "-t", str(self.first), "--net", "--mount", "--pid", "--ipc", "--uts"]
        return subprocess.Popen([*enter, *command], env=self._environment, **options)

    def run(self, *command):
        assert self.start(*command).wait() == 0, command

    def end(self):
        os.kill(self.first, 9)
        self._machine.wait()
        self._machine.stdout.close()


def _wait_for_program(process, name):
    while True:
        with open(f"/proc/{process}/comm") as program:
            if program.read().strip() == name:
                return

