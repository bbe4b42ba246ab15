package main

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"
)

// TestMain is this program itself when a test starts it as such.
func TestMain(m *testing.M) {
	if os.Getenv("STATIONINIT_AS_ITSELF") != "" {
		main()
		return
	}
	m.Run()
}

// TestOnlyTheFirst: started by hand it must not mount anything over the folders of a machine that runs.
func TestOnlyTheFirst(t *testing.T) {
	before, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STATIONINIT_AS_ITSELF=1")
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 2 {
		t.Errorf("it ended with %v, not with exit status 2:\n%s", err, out)
	}
	after, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Errorf("mounts before:\n%s\nafter:\n%s", before, after)
	}
}

func TestLoadModules(t *testing.T) {
	errBroken := errors.New("exec format error")
	for _, tt := range []struct {
		name, order string
		want        []string
		broken      string
	}{
		{"one after the other", "virtio.ko\nvirtio_net.ko napi_weight=8\n", []string{"lib/mods/virtio.ko|", "lib/mods/virtio_net.ko|napi_weight=8"}, ""},
		{"blank lines, no last line feed", "\n  a.ko  \n\nb.ko", []string{"lib/mods/a.ko|", "lib/mods/b.ko|"}, ""},
		{"several parameters", "vivid.ko n_devs=1 node_types=1\n", []string{"lib/mods/vivid.ko|n_devs=1 node_types=1"}, ""},
		{"on after a broken one", "a.ko\nb.ko\nc.ko\n", []string{"lib/mods/a.ko|", "lib/mods/b.ko|", "lib/mods/c.ko|"}, "lib/mods/b.ko"},
		{"none", "", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			err := loadModules(fstest.MapFS{"lib/mods/order": {Data: []byte(tt.order)}}, func(file, parameters string) error {
				got = append(got, file+"|"+parameters)
				if file == tt.broken {
					return errBroken
				}
				return nil
			})
			if !slices.Equal(got, tt.want) {
				t.Errorf("loaded %q, not %q", got, tt.want)
			}
			if (tt.broken != "") != errors.Is(err, errBroken) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("a kernel without modules", func(t *testing.T) {
		if err := loadModules(fstest.MapFS{}, func(string, string) error { return errBroken }); err != nil {
			t.Error(err)
		}
	})
	t.Run("a list that cannot be read", func(t *testing.T) {
		if err := loadModules(fstest.MapFS{"lib/mods/order/x": {}}, func(string, string) error { return nil }); err == nil {
			t.Error("no error")
		}
	})
}

// TestMounts: a file system is mounted after the one that it lies in, and what the agent writes to can hold no device.
func TestMounts(t *testing.T) {
	var at []string
	for _, m := range mounts() {
		for _, before := range at {
			if strings.HasPrefix(before, m.at+"/") || before == m.at {
				t.Errorf("%s would hide %s", m.at, before)
			}
		}
		at = append(at, m.at)
		if m.kind == "tmpfs" && m.flags&(unix.MS_NODEV|unix.MS_NOSUID) != unix.MS_NODEV|unix.MS_NOSUID {
			t.Errorf("%s may hold devices or programs with another's rights", m.at)
		}
	}
	if i := slices.Index(at, "/sys"); i < 0 || slices.Index(at, "/sys/kernel/config") < i {
		t.Errorf("configfs before sysfs: %q", at)
	}
}

// TestRun starts real programs, and is the parent of their orphans as the first program is.
func TestRun(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, script string
		status       int
		signal       unix.Signal
	}{
		{"ends well", "exit 0", 0, -1},
		{"ends badly", "exit 3", 3, -1},
		{"is killed", "kill -9 $$", -1, unix.SIGKILL},
		{"leaves orphans", "(exec true &); (exec true &); exec sleep 0.2", 0, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, err := run([]string{"/bin/sh", "-c", tt.script})
			if err != nil {
				t.Fatal(err)
			}
			if status.ExitStatus() != tt.status || status.Signal() != tt.signal {
				t.Errorf("exit status %d, signal %d", status.ExitStatus(), status.Signal())
			}
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
				t.Errorf("somebody is left: process %d, %v", pid, err)
			}
		})
	}
	t.Run("does not start", func(t *testing.T) {
		if _, err := run([]string{"/nowhere/agent"}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("error %v", err)
		}
	})
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		status unix.WaitStatus
		err    error
		how    int
		why    string
	}{
		{0, nil, unix.LINUX_REBOOT_CMD_POWER_OFF, "it ended well"},
		{3 << 8, nil, unix.LINUX_REBOOT_CMD_RESTART, "exit status 3"},
		{9, nil, unix.LINUX_REBOOT_CMD_RESTART, "killed by signal killed"},
		{0, os.ErrNotExist, unix.LINUX_REBOOT_CMD_RESTART, os.ErrNotExist.Error()},
	} {
		if got := verdict(tt.status, tt.err); got != (end{tt.how, tt.why}) {
			t.Errorf("status %#x, error %v: %+v", tt.status, tt.err, got)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{"HOME=/", "TERM=linux", "PATH=/sbin", "WATCHPOST_ADDRESS=10.0.2.15/24"})
	want := []string{"PATH=/bin", "HOME=/run", "TMPDIR=/tmp", "WATCHPOST_ADDRESS=10.0.2.15/24"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
	}
}
