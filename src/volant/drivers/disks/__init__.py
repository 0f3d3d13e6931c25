"""The disks of VMs: one directory a VM, whose files outlive guests and daemons and go with the VM.

    <root>/<uid>/  NAME.qcow2   the VM's own layer, over a read-only image of the cache where the disk has one
                   disks.json   which disks there are, and of which image each was made
                   seed.iso     what the guest is told at its next start

The room promises what the port `Disks` asks, and this besides:

* No format is ever guessed, and no program reads an image to find out. Sizes of images come from a reader of ours, and
  `qemu-img` is given nothing but the one new or grown file, as a descriptor, without the daemon's rights.
* A disk counts when it is whole: it is made beside its name, and recorded before and after. A disk that was there and
  is gone is never made anew in silence, because its content would be lost without a word.
* Directories are 0700, files 0600, and no symbolic link is followed.

Deliberately absent: snapshots, shrinking, moving a disk to another image, and attaching, which hypervisors do.
"""

from volant.drivers.disks.store import DiskStore

__all__ = ["DiskStore"]
