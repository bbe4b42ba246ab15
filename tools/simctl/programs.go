package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// programs are the files of the three programs of a demonstration.
type programs struct{ watchpostd, dispatch, simctl string }

// parts are the programs, each as a package of the module.
func parts() [3]string {
	return [3]string{"./firmware/watchpostd", "./tools/dispatch", "./tools/simctl"}
}

// findPrograms takes the programs of a folder if one is named, else builds them from the sources around the working
// directory, else takes those beside this program.
func findPrograms(ctx context.Context, out io.Writer, bin string) (programs, error) {
	if bin != "" {
		return programsIn(bin)
	}
	if root, ok := sources(); ok {
		return build(ctx, out, root)
	}
	self, err := os.Executable()
	if err != nil {
		return programs{}, fmt.Errorf("finding this program: %w", err)
	}
	p, err := programsIn(filepath.Dir(self))
	if err != nil {
		return p, fmt.Errorf("%w; or run it inside the sources, which it then builds", err)
	}
	return p, nil
}

// programsIn takes the programs of a folder.
func programsIn(bin string) (programs, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return programs{}, err
	}
	p := programs{filepath.Join(bin, "watchpostd"), filepath.Join(bin, "dispatch"), filepath.Join(bin, "simctl")}
	for _, path := range []string{p.watchpostd, p.dispatch, p.simctl} {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			return p, fmt.Errorf("there is no program %s: build it with make build, or name the folder with --bin", path)
		}
	}
	return p, nil
}

// sources looks for the module's root, from the working directory upwards.
func sources() (string, bool) {
	dir, err := os.Getwd()
	for err == nil {
		text, missing := os.ReadFile(filepath.Join(dir, "go.mod"))
		if missing == nil && strings.HasPrefix(string(text), "module watchpost\n") {
			return dir, true
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return "", false
}

// build builds the programs as they are shipped, and tells how it gets on.
func build(ctx context.Context, out io.Writer, root string) (programs, error) {
	bin := filepath.Join(root, ".build", "demo")
	fmt.Fprintf(out, "building into %s (the first time takes a minute or two)\n", bin)
	for i, part := range parts() {
		start := time.Now()
		fmt.Fprintf(out, "  %d/%d %-12s", i+1, len(parts()), filepath.Base(part))
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", bin+string(filepath.Separator), part)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		text, err := cmd.CombinedOutput()
		if err != nil {
			fmt.Fprintln(out, "failed")
			if errors.Is(err, exec.ErrNotFound) {
				err = errors.New("the command go is not found: install Go 1.26, or name a folder of built programs with --bin")
			}
			return programs{}, fmt.Errorf("building %s: %w\n%s", part, err, text)
		}
		fmt.Fprintf(out, "%6.1f s\n", time.Since(start).Seconds())
	}
	return programsIn(bin)
}
