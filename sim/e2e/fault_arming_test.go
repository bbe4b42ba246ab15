package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"watchpost/storage/event"
)

// villagerCode is the code of the one who arms.
const villagerCode = "20261122"

// hashed is a code as a configuration has it, with little work, so that a test is not all hashing.
func hashed(code string) string {
	salt := []byte("salt-of-" + code)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=64,t=1,p=1$%s$%s", enc.EncodeToString(salt), enc.EncodeToString(argon2.IDKey([]byte(code), salt, 1, 64, 1, 32)))
}

// arms gives a village a partition: a hall, a window that always stands open, and a siren.
func (p plan) arms() plan {
	p.box = []string{"--lines", "hall,window", "--outputs", "siren"}
	p.zones = "  - {id: hall, name: 大厅, board: main, line: hall, rest: open, partition: house}\n" +
		"  - {id: window, board: main, line: window, rest: open, partition: house}\n"
	p.extra = "outputs: [{id: siren, board: main, line: siren, role: siren}]\n" +
		"partitions: [{id: house, name: 警务室, exit: 0s, entry: 0s, settle: 0s, siren: 10s, outputs: [siren]}]\n" +
		fmt.Sprintf("users: [{id: li, name: 李, code: \"%s\", rights: [arm, disarm, bypass, engineer]}]\n", hashed(villagerCode))
	return p
}

// armingWord is what the local door says of partitions, as far as the tests look.
type armingWord struct {
	Partitions []struct {
		State, Mode string
		Bypassed    []string
		Memory      []struct{ Zone, Reason string }
	}
	Zones []struct{ ID, State string }
}

// zone is the state of a zone.
func (w armingWord) zone(id string) string {
	for _, z := range w.Zones {
		if z.ID == id {
			return z.State
		}
	}
	return ""
}

// knock asks the village's local door; without a body it is a GET.
func (v *village) knock(ctx context.Context, path string, body, out any) (code int, err error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(v.dir, "data", "door.sock"))
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: patience}
	method, b := http.MethodGet, []byte(nil)
	if body != nil {
		method = http.MethodPost
		if b, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://station"+path, bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	r, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Body.Close() }()
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err
	}
	if out != nil {
		err = json.Unmarshal(answer, out)
	}
	return r.StatusCode, err
}

// vigil is a village whose agent is killed again and again, and how its partition has to be.
type vigil struct {
	*village
	t     *testing.T
	dice  *rand.Rand
	open  bool // the hall
	armed bool
	alarm bool // the memory has one
	trips int
	kills int
	down  int // openings while nobody was there to hear
}

// awake waits until the agent has heard every zone, and answers how the partition is.
func (x *vigil) awake() (w armingWord) {
	x.t.Helper()
	hall := map[bool]string{true: "active", false: "normal"}[x.open]
	within(x.t, patience, "the hall is "+hall, func() error {
		if _, err := x.knock(x.t.Context(), "/v1/arming", nil, &w); err != nil {
			return err
		}
		if len(w.Partitions) != 1 || w.zone("hall") != hall || w.zone("window") != "active" {
			return fmt.Errorf("the door says %+v", w)
		}
		return nil
	})
	return w
}

// right fails the test unless the door says of the partition what it has to.
func (x *vigil) right(when string) {
	x.t.Helper()
	var p = x.awake().Partitions[0]
	if (p.Mode == "away") != x.armed || (len(p.Memory) > 0) != x.alarm || slices.Equal(p.Bypassed, []string{"window"}) != x.armed {
		x.t.Fatalf("%s, after %d kills: %+v; want armed and bypassed %v, memory %v", when, x.kills, p, x.armed, x.alarm)
	}
}

// wish asks for something in a moment in which the agent may be killed. Without an answer it may have been done or not.
func (x *vigil) wish(path string, body map[string]any) (done, answered bool) {
	body["code"], body["partition"] = villagerCode, "house"
	var answer struct{ Reason string }
	code, err := x.knock(x.t.Context(), path, body, &answer)
	if err != nil {
		return false, false
	}
	if code != http.StatusOK {
		x.t.Errorf("%s %v: %d %s", path, body, code, answer.Reason)
	}
	return code == http.StatusOK, true
}

// move opens or closes the hall.
func (x *vigil) move() {
	x.open = !x.open
	x.set("hall", map[bool]int{true: 1}[x.open])
	if x.open && x.armed {
		x.trips++
		x.alarm = true
	}
}

// night does one thing, and the agent is killed before, while or just after it is done.
func (x *vigil) night() {
	x.t.Helper()
	var killed sync.WaitGroup
	agent, pause := x.agent, time.Duration(x.dice.IntN(30_000))*time.Microsecond
	killed.Go(func() {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		<-timer.C
		agent.kill()
	})
	before, moved, unsure := *x, false, false
	after := before
	switch what := x.dice.IntN(10); {
	case what < 2: // nothing happens
	case !x.armed && x.open:
		x.move()
		moved = true
	case !x.armed && x.alarm && what < 5:
		after.alarm = false
		_, answered := x.wish("/v1/clear", map[string]any{})
		unsure = !answered
		x.alarm = false
	case !x.armed:
		after.armed = true
		_, answered := x.wish("/v1/arm", map[string]any{"mode": "away", "force": []string{"window"}})
		unsure = !answered
		x.armed = true
	case what < 5:
		after.armed = false
		_, answered := x.wish("/v1/disarm", map[string]any{})
		unsure = !answered
		x.armed = false
	default:
		x.move()
		moved = true
	}
	killed.Wait()
	x.kills++
	if unsure { // what the station says holds, if it is one of the two
		x.launch()
		p := x.awake().Partitions[0]
		x.armed, x.alarm = p.Mode == "away", len(p.Memory) > 0
		if is := [2]bool{x.armed, x.alarm}; is != [2]bool{before.armed, before.alarm} && is != [2]bool{after.armed, after.alarm} {
			x.t.Fatalf("after a wish without an answer: %+v", p)
		}
		return
	}
	if !moved && x.dice.IntN(2) == 0 {
		x.move()
		if x.open && x.armed {
			x.down++
		}
	}
	x.launch()
}

// TestFaultArmingKill: the agents of several villages are killed -9 at any moment, while partitions are armed and disarmed, halls
// opened and closed, also while no agent is there. After each start the door says of arming, of what is bypassed and of the alarm
// memory what it has to; the centre has one alarm for each opening while armed, and not one more.
func TestFaultArmingKill(t *testing.T) {
	t.Parallel()
	villages, nights := 4, 25
	if long() {
		nights = 250
	}
	c := newCentre(t)
	dice := seeded(t)
	for n := range villages {
		p := caoping(c).arms()
		p.id = fmt.Sprintf("cs-kill-%d", n)
		seed := dice.Uint64()
		t.Run(p.id, func(t *testing.T) {
			t.Parallel()
			x := &vigil{village: p.build(t), t: t, dice: rand.New(rand.NewPCG(seed, 0))}
			x.set("window", 1)
			x.launch()
			x.right("at first")
			for x.kills < nights {
				x.night()
				x.right("after a night")
			}
			x.judge(c)
		})
	}
}

// judge holds the centre's store against what has happened.
func (x *vigil) judge(c *centre) {
	x.t.Helper()
	x.drained()
	x.t.Logf("%d kills, %d openings while armed, %d of them while no agent was there", x.kills, x.trips, x.down)
	raised, reasons, wrong := 0, map[string]int{}, []string{}
	stored := c.stored(x.id)
	for _, e := range stored {
		reason, _ := e.Body.Text(event.TagReason)
		switch {
		case e.Lane != event.LaneAlarm:
		case e.Kind == event.KindAlarmRaised && e.Zone == "hall":
			raised++
			reasons[reason]++
		default:
			wrong = append(wrong, e.Name()+" "+e.Kind.String()+" "+e.Zone)
		}
	}
	if raised != x.trips || len(wrong) > 0 || reasons["opened-while-down"] < x.down {
		x.t.Errorf("%d alarms (%v) of %d openings, %d of them while down; false are %q", raised, reasons, x.trips, x.down, wrong)
	}
	checkOnce(x.t, stored)
}
