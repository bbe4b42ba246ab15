package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"watchpost/storage/event"
)

// smallDisk mounts a tmpfs of a size on dir: a disk that really gets full.
func smallDisk(t testing.TB, dir, size string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=700,size="+size); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("only root can mount a small disk to fill: ", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// stuff lets another process write a file until the disk has not a byte left.
func stuff(t testing.TB, file string) {
	t.Helper()
	dd := start(t, "/usr/bin/dd", "if=/dev/zero", "of="+file, "bs=64k")
	if dd.wait() == 0 || !strings.Contains(dd.stderr(), "No space left") {
		t.Fatalf("dd did not fill the disk: %s", dd.stderr())
	}
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(file), &st); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d KiB free after %s", st.Bavail*uint64(st.Bsize)>>10, filepath.Base(file))
}

// unanswered sends a panel frame and fails the test if it is acknowledged within a second.
func (v *village) unanswered(frame string) {
	v.t.Helper()
	conn, err := net.Dial("tcp", v.panels)
	if err != nil {
		v.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		v.t.Fatal(err)
	}
	if _, err := conn.Write([]byte(frame)); err != nil {
		v.t.Fatal(err)
	}
	var answer [256]byte
	if n, err := conn.Read(answer[:]); n > 0 || err == nil {
		v.t.Errorf("a frame that cannot be stored was answered: %q", answer[:n])
	}
}

// refuses waits until the agent refuses events for want of room and says what to do.
func (v *village) refuses() {
	v.t.Helper()
	v.agent.says("event log: disk full, events are refused")
	v.agent.says("free some space")
	eventually(v.t, "full in the status", func() error {
		st, err := v.door()
		if err == nil && (!st.Log.Full || st.Log.Refused == 0) {
			err = fmt.Errorf("log %+v", st.Log)
		}
		return err
	})
}

// alive fails the test if the agent has ended by itself.
func (v *village) alive() {
	v.t.Helper()
	if !v.agent.running() {
		text := v.agent.stderr()
		v.t.Fatalf("the agent ended by itself (%v):\n%.5000s", v.agent.cmd.ProcessState, text[max(0, strings.Index(text, "\nfatal")):])
	}
}

// TestFaultFullDisk: another process fills the disk while reports come in. What cannot be stored gets no ACK, the agent lives,
// stops and starts on the full disk, and takes up its work when there is room again: what was acknowledged is at the centre,
// once.
func TestFaultFullDisk(t *testing.T) {
	c := newCentre(t)
	p := caoping(c)
	p.accounts = "  - {id: \"2000\", name: 信用社}\n"
	v := p.build(t)
	data := filepath.Join(v.dir, "data")
	smallDisk(t, data, "256m") // the log wants 64 MiB to spare besides its reserve
	config, err := os.ReadFile(v.config)
	if err != nil {
		t.Fatal(err)
	}
	put(t, map[string]string{v.config: strings.Replace(string(config), "reserve: 16MiB", "reserve: 64MiB", 1)})
	v.start()
	v.online()
	const frames, lives = 1500, 3
	file := filepath.Join(t.TempDir(), "panel.log")
	panel := start(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--count", fmt.Sprint(frames), "--window", "8", "--rate", "400", "--retry", "1s", "--log", file)
	eventually(t, "reports before the disk is full", func() error {
		if n := len(readRecord(t, file).acked); n < 100 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})

	stuff(t, filepath.Join(data, "stuff-0"))
	v.refuses()
	full := len(readRecord(t, file).acked)
	v.set("door", 1)
	v.unanswered(sia("2000", "0001", "Nri1/BA001"))
	if n := len(readRecord(t, file).acked); n != full || n == frames {
		t.Errorf("%d frames were acknowledged by a full disk, %d before", n-full, full)
	}
	stopsWell(t, v.agent)

	for life := 1; life <= lives; life++ { // each takes room of the reserve, and what it leaves is filled again
		v.start()
		stuff(t, filepath.Join(data, fmt.Sprintf("stuff-%d", life)))
		v.refuses()
		v.alive()
		if life < lives {
			v.agent.kill()
		}
	}
	v.unanswered(sia("2000", "0002", "Nri1/BA002"))
	v.alive()
	v.alive()
	if n := len(readRecord(t, file).acked); n != full {
		t.Errorf("%d frames were acknowledged by a full disk", n-full)
	}

	for i := range 1 + lives {
		if err := os.Remove(filepath.Join(data, fmt.Sprintf("stuff-%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	v.agent.says("room again")
	if code := panel.wait(); code != 0 {
		t.Fatalf("panel: exit code %d:\n%s", code, panel.tail(10))
	}
	refused := c.awaitStored(v.id, "that events were refused", func(e event.Event) bool { return e.Kind == event.KindLogRefused })
	if n, _ := refused.Body.Uint(event.TagCount); n == 0 {
		t.Errorf("an event tells that %d were refused", n)
	}
	c.awaitStored(v.id, "the door that was opened while the disk was full", zoneActive("door"))
	v.drained()
	all := c.stored(v.id)
	checkOnce(t, all)
	checkMarks(t, all, 1, frames)
	epochs := map[event.Epoch]bool{}
	for _, e := range all {
		epochs[e.Epoch] = true
		if code, _ := e.Body.Text(event.TagAccount); code == "2000" && e.Kind == event.KindPanelEvent {
			t.Errorf("a frame without an ACK, which its panel never repeated, is stored: %+v", e)
		}
	}
	if len(epochs) != 1 {
		t.Errorf("%d epochs: the full disk cost the log", len(epochs))
	}
	t.Logf("%d frames acknowledged before the disk was full, %d in all; %d events", full, len(readRecord(t, file).acked), len(all))
	stopsWell(t, v.agent)
}

// TestFaultNoRoomAtAll: without even the room to open its log the agent says what to do and ends; it does not crash. With room
// it starts.
func TestFaultNoRoomAtAll(t *testing.T) {
	c := newCentre(t)
	v := caoping(c).build(t)
	data := filepath.Join(v.dir, "data")
	smallDisk(t, data, "12m")
	_, stderr, code := run(t, "watchpostd", "-config", v.config)
	if code != 1 {
		t.Errorf("exit code %d without room for a log, want 1", code)
	}
	holdsAll(t, "the agent", stderr, "the station cannot start", "disk full", data, "free some space")
	if err := unix.Mount("tmpfs", data, "tmpfs", unix.MS_REMOUNT, "mode=700,size=192m"); err != nil {
		t.Fatal(err)
	}
	v.start()
	v.set("door", 1)
	c.awaitStored(v.id, "the door", zoneActive("door"))
	stopsWell(t, v.agent)
}

// sia is a plain DC-09 frame.
func sia(account, seq, report string) string {
	body := fmt.Sprintf(`"SIA-DCS"%sL0#%s[#%s|%s]`, seq, account, account, report)
	return fmt.Sprintf("\n%04X0%03X%s\r", crc(body), len(body), body)
}
