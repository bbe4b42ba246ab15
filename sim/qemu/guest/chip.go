package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// chip is a GPIO chip of the kernel's gpio-sim.
type chip struct {
	label string
	live  string            // file that switches it off and on
	dir   string            // of its lines
	lines map[string]string // name → file that moves it
}

// newChip makes a chip (Documentation/admin-guide/gpio/gpio-sim.rst) with the given lines, from offset 0 on. sys is where sysfs is
// mounted, and configfs in it.
func newChip(sys, label string, names []string) (*chip, error) {
	device := filepath.Join(sys, "kernel/config/gpio-sim", label)
	bank := filepath.Join(device, "bank0")
	folders := []string{device, bank}
	settings := [][2]string{
		{filepath.Join(bank, "num_lines"), fmt.Sprint(len(names))},
		{filepath.Join(bank, "label"), label},
	}
	for i, name := range names {
		line := filepath.Join(bank, fmt.Sprintf("line%d", i))
		folders = append(folders, line)
		settings = append(settings, [2]string{filepath.Join(line, "name"), name})
	}
	live := filepath.Join(device, "live")
	settings = append(settings, [2]string{live, "1"}) // the last: from here on it is a chip
	for _, folder := range folders {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return nil, fmt.Errorf("making a simulated chip: %w", err)
		}
	}
	for _, s := range settings {
		if err := os.WriteFile(s[0], []byte(s[1]), 0o644); err != nil {
			return nil, fmt.Errorf("making a simulated chip: %w", err)
		}
	}
	var where [2]string // the platform device and the chip in it
	for i, file := range []string{filepath.Join(device, "dev_name"), filepath.Join(bank, "chip_name")} {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("looking for the simulated chip: %w", err)
		}
		where[i] = strings.TrimSpace(string(b))
	}
	c := &chip{label, live, filepath.Join(sys, "devices/platform", where[0], where[1]), map[string]string{}}
	for i, name := range names {
		c.lines[name] = filepath.Join(c.dir, fmt.Sprintf("sim_gpio%d", i), "pull")
	}
	return c, nil
}

// environment says to a program where the chip is, as the tests of drivers/hostbus want to know it.
func (c *chip) environment() []string {
	return []string{"WATCHPOST_GPIOSIM=" + c.label + ":" + c.dir, "WATCHPOST_GPIOSIM_LIVE=" + c.live}
}
