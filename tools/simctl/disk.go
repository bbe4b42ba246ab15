package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/disk"
)

// diskCommand is a disk that loses power.
type diskCommand struct {
	Mount    string `required:"" placeholder:"DIR" help:"Where the disk shows, made if it is missing."`
	Medium   string `placeholder:"DIR" help:"Empty directory for what reached the medium; a temporary one if not given."`
	Seed     uint64 `default:"1" help:"Seed of torn cuts."`
	Strict   bool   `help:"New names and renames last only if their directory was synced, as POSIX has it; else as on ext4."`
	Capacity int64  `placeholder:"BYTES" help:"Size of the disk; 8 GiB if not given."`
}

// Help is shown below the flags.
func (diskCommand) Help() string {
	return `It takes root and /dev/fuse. While it is mounted, it obeys lines on standard input:

  cut [torn]                     the power goes, and what was not synced; then it comes back. End the writer first.
                                 Torn: a part of what was not synced got through
  off [torn], on                 the same in two steps
  full BYTES                     the disk has so many bytes
  slow DELAY [BYTES]             each sync takes so long, and a second for so many bytes
  lie                            syncs are answered and do nothing
  fault OP [NAME [AFTER [COUNT]]]  read, write or sync fails, of files such as *.mem, after AFTER that went well, COUNT times
  good                           none of these any more
  settle                         the kernel writes back what was not synced; run sync -f DIR before
  stats                          print one line of JSON: syncs, bytes that reached the medium, what cuts lost

For example:

  simctl disk --mount /tmp/disk`
}

// Run serves the disk until ctx ends.
func (c *diskCommand) Run(ctx context.Context, d deps) (err error) {
	mode := disk.Mode{Capacity: c.Capacity}
	s, err := disk.New(disk.Options{Mount: c.Mount, Medium: c.Medium, Seed: c.Seed, Strict: c.Strict, Mode: mode}, d.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var group errgroup.Group
	group.Go(func() error {
		return typed(ctx, d, func(words []string) error { return operateDisk(d, s, &mode, words) })
	})
	fmt.Fprintln(d.stdout, "ready")
	if err := group.Wait(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// operateDisk does what one typed line says.
func operateDisk(d deps, s *disk.Server, mode *disk.Mode, words []string) error {
	if len(words) == 0 {
		return nil
	}
	torn := len(words) > 1 && words[1] == "torn"
	switch words[0] {
	case "cut":
		return errors.Join(s.Off(torn), s.On())
	case "off":
		return s.Off(torn)
	case "on":
		return s.On()
	case "settle":
		return s.Settle()
	case "stats":
		return json.NewEncoder(d.stdout).Encode(s.Stats())
	}
	next, err := modeOf(*mode, words)
	if err == nil {
		err = s.Set(next)
	}
	if err == nil {
		*mode = next
	}
	return err
}

// modeOf is a mode changed as one typed line says.
func modeOf(m disk.Mode, words []string) (_ disk.Mode, err error) {
	words = append(words, make([]string, 4)...)
	number := func(word string) (n int64) {
		if word != "" && err == nil {
			n, err = strconv.ParseInt(word, 10, 64)
		}
		return n
	}
	switch words[0] {
	case "full":
		m.Capacity = number(words[1])
	case "slow":
		m.SyncDelay, err = time.ParseDuration(words[1])
		m.BytesPerSecond = number(words[2])
	case "lie":
		m.Lies = true
	case "fault":
		m.Faults = append(m.Faults[:len(m.Faults):len(m.Faults)], disk.Fault{
			Op: disk.Op(words[1]), Name: words[2], After: int(number(words[3])), Count: int(number(words[4])),
		})
	case "good":
		m = disk.Mode{Capacity: m.Capacity}
	default:
		return m, errors.New("unknown: use cut, off, on, full, slow, lie, fault, good, settle or stats")
	}
	return m, err
}
