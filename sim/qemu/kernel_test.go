package qemu

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module is the least ELF file with a section .modinfo.
func module(t *testing.T, info string) []byte {
	t.Helper()
	const names = "\x00.modinfo\x00.shstrtab\x00"
	const header, section = 64, 64
	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	b.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	put([]uint16{1, 183}) // relocatable, AArch64
	put(uint32(1))
	put([]uint64{0, 0, header}) // section headers right behind
	put(uint32(0))
	put([]uint16{header, 0, 0, section, 3, 2})
	at := uint64(header + 3*section)
	for _, s := range []struct {
		name, kind uint32
		size       int
	}{{0, 0, 0}, {1, 1, len(info)}, {10, 3, len(names)}} {
		put([]uint32{s.name, s.kind})
		put([]uint64{0, 0, at, uint64(s.size)})
		put([]uint32{0, 0})
		put([]uint64{1, 0})
		at += uint64(s.size)
	}
	b.WriteString(info + names)
	return b.Bytes()
}

// fetched is a folder as make deps-qemu leaves it, with modules: name → what each says of itself.
func fetched(t *testing.T, modules map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string][]byte{"current": []byte("6.1.0-9-arm64\n"), "6.1.0-9-arm64/vmlinuz": []byte("MZ")}
	for name, info := range modules {
		files["6.1.0-9-arm64/modules/"+name] = module(t, info)
	}
	if err := os.MkdirAll(filepath.Join(dir, "6.1.0-9-arm64/modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestModules(t *testing.T) {
	kernel, err := FindKernel(fetched(t, map[string]string{
		"virtio_pci.ko":            "license=GPL\x00depends=virtio_pci_legacy_dev,virtio_pci_modern_dev\x00retpoline=Y\x00",
		"virtio_pci_legacy_dev.ko": "depends=\x00",
		"virtio_pci_modern_dev.ko": "depends=\x00",
		"gpio-sim.ko":              "depends=configfs,wp_irq_sim\x00",
		"wp_irq_sim.ko":            "license=GPL\x00",
		"configfs.ko":              "depends=\x00",
		"lost.ko":                  "depends=gone\x00",
		"circle.ko":                "depends=circle\x00",
	}))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, order string
		wanted      []string
	}{
		{"none", "", nil},
		{"what it needs first", "virtio_pci_legacy_dev.ko\nvirtio_pci_modern_dev.ko\nvirtio_pci.ko\n", []string{"virtio_pci"}},
		{"each once", "configfs.ko\nwp_irq_sim.ko\ngpio-sim.ko\n", []string{"configfs", "gpio-sim", "gpio_sim"}},
		{"with parameters", "configfs.ko\nwp_irq_sim.ko debug=1 x=2\n", []string{"configfs", "wp_irq_sim debug=1 x=2"}},
		{"one that needs itself", "circle.ko\n", []string{"circle"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files, err := kernel.Modules(tt.wanted...)
			if err != nil {
				t.Fatal(err)
			}
			last := files[len(files)-1]
			if last.Name != "lib/mods/order" || string(last.Data) != tt.order {
				t.Errorf("%s is %q, not %q", last.Name, last.Data, tt.order)
			}
			if got, want := len(files)-1, strings.Count(tt.order, "\n"); got != want {
				t.Errorf("%d files for %d modules", got, want)
			}
			write(t, files)
		})
	}
	for _, wanted := range []string{"nothing", "lost"} {
		if _, err := kernel.Modules(wanted); err == nil || !strings.Contains(err.Error(), "6.1.0-9-arm64") {
			t.Errorf("%s: error %v", wanted, err)
		}
	}
}

func TestDepends(t *testing.T) {
	for name, data := range map[string][]byte{
		"no ELF":     []byte("not a module"),
		"no modinfo": bytes.Replace(module(t, ""), []byte(".modinfo"), []byte(".comment"), 1),
	} {
		if _, err := depends(data); err == nil {
			t.Errorf("%s was taken for a module", name)
		}
	}
}

// TestFindKernel: whatever is missing, the way out is named.
func TestFindKernel(t *testing.T) {
	half := fetched(t, nil)
	if err := os.Remove(filepath.Join(half, "6.1.0-9-arm64/vmlinuz")); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"nothing": t.TempDir(), "half of it": half} {
		if _, err := FindKernel(dir); err == nil || !strings.Contains(err.Error(), "run make deps-qemu") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
