package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// preferred is where the console is, if that port is free.
const preferred = "127.0.0.1:8080"

// windowOpen is for how long a window is opened.
const windowOpen = 2 * time.Second

// demoUser is who logs in.
const demoUser = "demo"

// demoCommand is everything at once.
type demoCommand struct {
	Dir    string `placeholder:"DIR" help:"Folder for data and logs, which is kept. Without it a temporary one is made, and removed at the end."`
	Bin    string `env:"WATCHPOST_BIN" placeholder:"DIR" help:"Folder with watchpostd, dispatch and simctl. Without it they are built into .build/demo."`
	Listen string `placeholder:"HOST:PORT" help:"Address of the console. Default 127.0.0.1:8080, or a free port if that is taken."`
}

// Help is shown below the flags.
func (demoCommand) Help() string {
	return `It starts a centre, three stations of two counties, their I/O boxes, four cameras and an alarm panel, each as a process
of its own, and raises an alarm. When all is up it prints

  url       where the dispatcher's page is
  user      and
  password  the log-in
  ready

Each station also raises its daily test alarm, a quiet word below the queue. On standard input it obeys

  (Enter)   another alarm
  silent    one more station stands still: its silence becomes an alarm within a minute, sooner if an alarm came before;
            where all three are silent, their carrier is to blame
  back      the stations that stand still go on
  window    the window of the next village's police room, which is armed, is opened for a moment: an alarm, and its siren

Ctrl-C ends everything; nothing stays behind.`
}

// demo is a running demonstration.
type demo struct {
	deps
	dir      string
	programs programs
	family   *family
	centre   *child
	villages []*village
	panel    *child
	raised   int
	opened   int // windows, from village to village
	still    int // stations that stand still, the first of villages
}

// Run shows the demonstration until ctx ends.
func (c *demoCommand) Run(ctx context.Context, d deps) (err error) {
	// Children die with the thread that started them: all are started from this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	p, err := findPrograms(ctx, d.stdout, c.Bin)
	if err != nil {
		return err
	}
	dir, clean, err := c.folder()
	if err != nil {
		return err
	}
	s := &demo{deps: d, dir: dir, programs: p, family: newFamily(filepath.Join(dir, "logs")), villages: villages()}
	defer func() {
		fmt.Fprintln(d.stdout, "stopping")
		err = errors.Join(err, s.family.stop())
		if err != nil {
			err = fmt.Errorf("%w\nthe logs are kept in %s", err, s.family.logs)
			return
		}
		err = clean()
	}()
	if err := s.bringUp(ctx, c.console()); err != nil {
		if ctx.Err() != nil {
			return nil // stopped while it was starting
		}
		return err
	}
	return s.carryOn(ctx)
}

// folder makes the demonstration's folder; clean removes what nobody asked to keep.
func (c *demoCommand) folder() (dir string, clean func() error, err error) {
	keep := func() error { return nil }
	if c.Dir == "" {
		if dir, err = os.MkdirTemp("", "watchpost-"); err != nil {
			return "", keep, fmt.Errorf("making a temporary folder: %w", err)
		}
		clean = func() error { return os.RemoveAll(dir) }
	} else {
		if dir, err = filepath.Abs(c.Dir); err != nil {
			return "", keep, err
		}
		if old, err := os.ReadDir(dir); err == nil && len(old) > 0 {
			return "", keep, usageError{fmt.Errorf("--dir %s is not empty: a demonstration starts afresh, choose another folder", dir)}
		}
		clean = keep
	}
	return dir, clean, os.MkdirAll(filepath.Join(dir, "logs"), 0o755)
}

// console is where the console shall listen.
func (c *demoCommand) console() string {
	if c.Listen != "" {
		return c.Listen
	}
	ln, err := net.Listen("tcp", preferred)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = ln.Close() // it was only a question
	return preferred
}

// bringUp starts everything and raises the first alarm.
func (s *demo) bringUp(ctx context.Context, console string) error {
	fmt.Fprintln(s.stdout, "starting the centre")
	url, password, err := s.startCentre(ctx, console)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.stdout, "starting boxes and cameras")
	for _, v := range s.villages {
		v.dir = filepath.Join(s.dir, v.id)
		if err := os.MkdirAll(v.dir, 0o755); err != nil {
			return fmt.Errorf("making a station's folder: %w", err)
		}
		if err := v.startDevices(ctx, s.family, s.programs); err != nil {
			return err
		}
	}
	fmt.Fprintln(s.stdout, "starting stations")
	if err := s.startStations(ctx); err != nil {
		return err
	}
	if err := s.alarm(ctx); err != nil {
		return err
	}
	if err := s.villages[0].until(ctx, "heard by the centre", stored); err != nil {
		return err
	}
	fmt.Fprintf(s.stdout, "\nThe demonstration is up: %d stations, 4 cameras, one alarm waiting.\n\nurl       %s\nuser      %s\npassword  %s\n\n"+
		"Logs and data are in %s.\nEnter raises another alarm, window opens one in an armed room, silent silences a station, back lets them go on, Ctrl-C ends everything.\n\nready\n", len(s.villages), url, demoUser, password, s.dir)
	return nil
}

// startCentre makes a centre and starts it.
func (s *demo) startCentre(ctx context.Context, console string) (url, password string, err error) {
	centre := filepath.Join(s.dir, "centre")
	if _, err := s.dispatch(ctx, "init", "--dir", centre, "--name", "常山县 · 玉山县"); err != nil {
		return "", "", err
	}
	out, err := s.dispatch(ctx, "user", "--dir", centre, demoUser)
	if err != nil {
		return "", "", err
	}
	_, rest, found := strings.Cut(out, "password ")
	if !found {
		return "", "", fmt.Errorf("dispatch user printed no password: %q", out)
	}
	password = strings.TrimSpace(rest)
	if s.centre, err = s.family.start("dispatch", s.programs.dispatch, "serve", "--dir", centre, "--listen", console, "--mqtt", "127.0.0.1:0"); err != nil {
		return "", "", err
	}
	if url, err = s.centre.await(ctx, "http "); err != nil {
		return "", "", err
	}
	_, err = s.centre.await(ctx, "ready")
	return url, password, err
}

// dispatch runs a command of the centre to its end.
func (s *demo) dispatch(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, s.programs.dispatch, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("dispatch %s: %w\n%s", args[0], err, out)
	}
	return string(out), nil
}

// startStations enrols and starts the stations and the panel, and waits until the centre has them all.
func (s *demo) startStations(ctx context.Context) error {
	broker, err := s.centre.await(ctx, "mqtt ")
	if err != nil {
		return err
	}
	for _, v := range s.villages {
		if _, err := s.dispatch(ctx, "enrol", "--dir", filepath.Join(s.dir, "centre"), "--jurisdiction", v.jurisdiction,
			"--station", v.id, "--name", v.name, "--broker", broker, "--out", v.dir); err != nil {
			return err
		}
		centre, err := os.ReadFile(filepath.Join(v.dir, "centre.yaml"))
		if err != nil {
			return fmt.Errorf("reading what enrolment wrote: %w", err)
		}
		if err := v.startAgent(s.family, s.programs, string(centre)); err != nil {
			return err
		}
	}
	for _, v := range s.villages {
		if _, err := v.agent.await(ctx, "ready"); err != nil {
			return err
		}
		if err := v.until(ctx, "online", online); err != nil {
			return err
		}
		fmt.Fprintf(s.stdout, "  %-26s %s is online\n", v.id, v.name)
		if err := v.arm(ctx); err != nil {
			return err
		}
		if !v.panel {
			continue
		}
		s.panel, err = s.family.start("panel-"+v.id, s.programs.simctl, "panel", "--to", "tcp://"+v.panels, "--account", panelAccount,
			"--poll", "30s", "--log", "-")
		if err != nil {
			return err
		}
		if _, err := s.panel.await(ctx, "ready"); err != nil {
			return err
		}
	}
	return nil
}

// alarm raises the next alarm: a panic button or a door, from village to village, and in the first one the panel too.
func (s *demo) alarm(ctx context.Context) error {
	n := len(s.villages)
	lines := [2]string{"panic", "door"}
	if s.raised > 0 {
		before := s.raised - 1
		if err := s.villages[before%n].board.say("set %s 0", lines[before/n%2]); err != nil {
			return err
		}
	}
	v, line := s.villages[s.raised%n], lines[s.raised/n%2]
	s.raised++
	fmt.Fprintf(s.stdout, "alarm %d: %s in %s\n", s.raised, line, v.name)
	if err := v.board.say("set %s 1", line); err != nil {
		return err
	}
	if !v.panel {
		return nil
	}
	if err := s.panel.say("raise BA 003 school, back door"); err != nil {
		return err
	}
	if s.raised > 1 {
		return nil
	}
	_, err := s.panel.await(ctx, "acked 1 ")
	return err
}

// obey does what one typed line says.
func (s *demo) obey(ctx context.Context, line string) error {
	switch line {
	case "":
		return s.alarm(ctx)
	case "silent":
		if s.still == len(s.villages) {
			return errors.New("all stations stand still: back lets them go on")
		}
		v := s.villages[s.still]
		s.still++
		fmt.Fprintf(s.stdout, "%s stands still\n", v.name)
		return v.agent.signal(syscall.SIGSTOP)
	case "back":
		var errs []error
		for _, v := range s.villages[:s.still] {
			fmt.Fprintf(s.stdout, "%s goes on\n", v.name)
			errs = append(errs, v.agent.signal(syscall.SIGCONT))
		}
		s.still = 0
		return errors.Join(errs...)
	case "window":
		v := s.villages[s.opened%len(s.villages)]
		s.opened++
		fmt.Fprintf(s.stdout, "%s: the window of the armed police room is opened\n", v.name)
		if err := v.board.say("loop %s active", houseWindow); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(windowOpen):
		}
		return v.board.say("loop %s normal", houseWindow)
	}
	return errors.New("unknown: press Enter, or use window, silent or back")
}

// carryOn obeys until ctx or a child ends.
func (s *demo) carryOn(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case c := <-s.family.died:
			return c.failure()
		}
	})
	group.Go(func() error {
		return typed(ctx, s.deps, func(words []string) error { return s.obey(ctx, strings.Join(words, " ")) })
	})
	return group.Wait()
}
