package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// moduleDir holds the kernel's modules, and in it the file "order" names them, one a line, in the order in which they are
// loaded: the file's name, then the module's parameters if any. Nothing else decides what is loaded.
const moduleDir = "lib/mods"

// loadModules hands every module of the list to load, and goes on after one that the kernel does not take. A station whose
// kernel has everything built in has no list.
func loadModules(root fs.FS, load func(file, parameters string) error) error {
	list, err := fs.ReadFile(root, path.Join(moduleDir, "order"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(list)) {
		file, parameters, _ := strings.Cut(strings.TrimSpace(line), " ")
		if file == "" {
			continue
		}
		if err := load(path.Join(moduleDir, file), parameters); err != nil {
			errs = append(errs, fmt.Errorf("module %s: %w", file, err))
		}
	}
	return errors.Join(errs...)
}

// finit loads one module from a file below the root folder.
func finit(file, parameters string) error {
	f, err := os.Open("/" + file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.FinitModule(int(f.Fd()), parameters, 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}
