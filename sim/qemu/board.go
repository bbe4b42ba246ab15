package qemu

import "strings"

// The network of a guest on Virt, made by QEMU: Address is the guest's to take, and Host the machine that it runs on, all of
// whose ports it reaches.
const (
	Address = "10.0.2.15/24"
	Host    = "10.0.2.2"
)

// Board is a model of a machine.
type Board struct {
	// Emulator is the program that plays it.
	Emulator string

	model   []string // its processor and serial lines
	words   string   // of the kernel's command line
	tree    bool     // it is described by a device tree that comes with the kernel
	devices []string
}

// Virt has a PL061 with eight GPIO lines, a network and, if asked for, a watchdog. It switches itself off.
func Virt() Board {
	return Board{
		Emulator: "qemu-system-aarch64",
		model:    []string{"-M", "virt", "-cpu", "cortex-a53", "-serial", "stdio"},
		words:    "console=ttyAMA0",
		devices:  []string{"-device", "virtio-rng-pci", "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="},
	}
}

// thermometer is what QEMU calls it.
const thermometer = "thermometer"

// Sabrelite is an i.MX6 board without a network; on /dev/i2c-1 a TMP105 answers to address 48 hex. It cannot switch itself off:
// end it by Stop.
func Sabrelite() Board {
	return Board{
		Emulator: "qemu-system-arm",
		model:    []string{"-M", "sabrelite", "-serial", "null", "-serial", "stdio"},
		words:    "console=ttymxc1,115200",
		tree:     true,
		devices:  []string{"-device", "tmp105,bus=i2c-bus.1,address=0x48,id=" + thermometer},
	}
}

// machine is what every guest has.
func (b Board) machine() []string {
	return append(strings.Fields("-smp 1 -m 512 -accel tcg,thread=single -nodefaults -no-reboot -display none -monitor none"+
		" -chardev socket,id=control,fd=3 -mon chardev=control,mode=control"), b.model...)
}
