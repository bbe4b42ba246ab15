package qemu

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kernel is a kernel of Debian's as `make deps-qemu` left it: that for arm64 has gpio-sim beside it.
type Kernel struct {
	// Release is its name, like 6.1.0-56-arm64.
	Release string
	// Image is the file that a boot loader starts.
	Image string

	modules string // folder of *.ko
	tree    string // device tree of a board that needs one; the file is there only for it
}

// FindKernel looks into the folder that `make deps-qemu` fills.
func FindKernel(folder string) (Kernel, error) {
	release, err := os.ReadFile(filepath.Join(folder, "current"))
	if err != nil {
		return Kernel{}, fmt.Errorf("no kernel for guests, run make deps-qemu: %w", err)
	}
	name := strings.TrimSpace(string(release))
	in := func(file string) string { return filepath.Join(folder, name, file) }
	k := Kernel{name, in("vmlinuz"), in("modules"), in("board.dtb")}
	for _, file := range []string{k.Image, k.modules} {
		if _, err := os.Stat(file); err != nil {
			return Kernel{}, fmt.Errorf("half a kernel for guests, remove %s and run make deps-qemu: %w", folder, err)
		}
	}
	return k, nil
}

// Modules are the files of an initramfs that have stationinit load the named modules, each after those that it depends on. A
// name may be followed by a blank and the module's parameters.
func (k Kernel) Modules(wanted ...string) ([]File, error) {
	var files []File
	var order []string
	loaded := map[string]bool{}
	var add func(name, parameters string) error
	add = func(name, parameters string) error {
		name = strings.ReplaceAll(name, "-", "_") // modules are called either way
		if loaded[name] {
			return nil
		}
		loaded[name] = true
		file, data, err := k.module(name)
		if err != nil {
			return err
		}
		needs, err := depends(data)
		if err != nil {
			return fmt.Errorf("reading module %s: %w", file, err)
		}
		for _, other := range needs {
			if err := add(other, ""); err != nil {
				return fmt.Errorf("module %s needs another: %w", name, err)
			}
		}
		files = append(files, File{"lib/mods/" + file, 0o644, data})
		order = append(order, strings.TrimSpace(file+" "+parameters)+"\n")
		return nil
	}
	for _, w := range wanted {
		name, parameters, _ := strings.Cut(w, " ")
		if err := add(name, parameters); err != nil {
			return nil, err
		}
	}
	return append(files, File{"lib/mods/order", 0o644, []byte(strings.Join(order, ""))}), nil
}

// module finds the file of a module, whose name has hyphens where the file may have underscores.
func (k Kernel) module(name string) (file string, data []byte, err error) {
	entries, err := os.ReadDir(k.modules)
	if err != nil {
		return "", nil, err
	}
	i := slices.IndexFunc(entries, func(e fs.DirEntry) bool { return strings.ReplaceAll(e.Name(), "-", "_") == name+".ko" })
	if i < 0 {
		return "", nil, fmt.Errorf("kernel %s was fetched without module %s", k.Release, name)
	}
	data, err = os.ReadFile(filepath.Join(k.modules, entries[i].Name()))
	return entries[i].Name(), data, err
}

// depends reads from a module's section .modinfo, strings of the form name=value each ended by a zero, what it depends on.
func depends(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("no kernel module: there is no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for _, word := range strings.Split(string(info), "\x00") {
		if list, ok := strings.CutPrefix(word, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
