package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"watchpost/firmware/status"
)

// The demonstration's own settings.
const (
	cameraUser     = "watchpost"
	cameraPassword = "village-gate"
	panelAccount   = "1409"
	maxSocketPath  = 107 // bytes of a Unix socket's path on Linux
	askEvery       = 50 * time.Millisecond

	// A carrier is taken for dead when three of its stations fall silent together, which with this heartbeat shows after half a minute.
	carrier   = "中国移动 4G"
	heartbeat = "5s"
)

// The daily test's wire, from an output of the I/O box to one of its inputs.
const (
	testOutput = "test-out"
	testLine   = "test-loop"
)

// village is one station of the demonstration and what is wired to it.
type village struct {
	id, jurisdiction, name string
	views                  []view
	panel                  bool // an alarm panel reports to it

	dir    string
	board  *child
	agent  *child
	panels string // the receiver's address
}

// view is one camera.
type view struct {
	id, name    string
	title       string // in the picture
	plate, size string
	url         string
}

// villages are three stations on both sides of the border.
func villages() []*village {
	return []*village{
		{id: "cs-baishi-caoping", jurisdiction: "changshan", name: "白石镇草坪村", panel: true, views: []view{
			{id: "gate", name: "村口", title: "CAOPING GATE", plate: "浙H12345", size: "480x272"},
			{id: "road", name: "边界公路", title: "CAOPING ROAD", plate: "赣E2B680", size: "480x272"},
		}},
		{id: "cs-qiuchuan-border", jurisdiction: "changshan", name: "球川镇界口", views: []view{
			{id: "gate", name: "村口", title: "QIUCHUAN GATE", plate: "浙H8C531", size: "480x272"},
		}},
		{id: "ys-shuangming-taipingqiao", jurisdiction: "yushan", name: "双明镇太平桥村", views: []view{
			{id: "gate", name: "村口", title: "TAIPINGQIAO GATE", plate: "赣E7K902", size: "480x272"},
		}},
	}
}

// socket is the path of the village's I/O box, and door that of the station's local door.
func (v *village) socket() string { return filepath.Join(v.dir, "board.sock") }
func (v *village) door() string   { return filepath.Join(v.dir, "data", status.Socket) }

// startDevices starts the I/O box and the cameras.
func (v *village) startDevices(ctx context.Context, f *family, p programs) (err error) {
	for _, path := range [2]string{v.socket(), v.door()} {
		if n := len(path); n > maxSocketPath {
			return fmt.Errorf("the path %s has %d bytes, a socket's may have %d: choose a shorter --dir", path, n, maxSocketPath)
		}
	}
	box, err := v.boxFile()
	if err != nil {
		return err
	}
	if v.board, err = f.start("board-"+v.id, p.simctl, "board", "--socket", v.socket(), "--box", box, "--lines", "door,panic,"+testLine,
		"--outputs", testOutput, "--wire", testOutput+"="+testLine); err != nil {
		return err
	}
	var cameras []*child
	for _, w := range v.views {
		c, err := f.start("camera-"+v.id+"-"+w.id, p.simctl, "camera", "--user", cameraUser, "--password", cameraPassword,
			"--name", w.title, "--plate", w.plate, "--size", w.size)
		if err != nil {
			return err
		}
		cameras = append(cameras, c)
	}
	for i, c := range cameras {
		if v.views[i].url, err = c.await(ctx, "rtsp "); err != nil {
			return err
		}
	}
	_, err = v.board.await(ctx, "ready")
	return err
}

// startAgent writes the station's configuration and starts its agent. centre is the list that enrolment wrote.
func (v *village) startAgent(f *family, p programs, centre string) (err error) {
	if v.panel {
		if v.panels, err = freePort(); err != nil {
			return err
		}
	}
	path := filepath.Join(v.dir, "station.yaml")
	if err := os.WriteFile(path, []byte(v.yaml(centre, time.Now())), 0o600); err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", v.id, err)
	}
	v.agent, err = f.start("watchpostd-"+v.id, p.watchpostd, "-config", path)
	return err
}

// yaml is the station's configuration. A station that starts in the hour after its test's time of day tests as soon as its box
// answers: that time is now.
func (v *village) yaml(centre string, now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by simctl demo.\nstation:\n  id: %s\n  jurisdiction: %s\n  name: %s\n", v.id, v.jurisdiction, v.name)
	b.WriteString("data: data\nlog:\n  reserve: 16MiB\nboards:\n  - id: main\n    backend: linesock\n    socket: board.sock\nzones:\n")
	for _, zone := range [2][3]string{{"panic", "紧急按钮", "panic"}, {"door", "警务室大门", "intrusion"}} {
		fmt.Fprintf(&b, "  - id: %s\n    name: %s\n    kind: %s\n    board: main\n    line: %s\n    rest: open\n    camera: gate\n", zone[0], zone[1], zone[2], zone[0])
	}
	fmt.Fprintf(&b, "  - id: %[1]s\n    name: 每日自检\n    kind: test\n    board: main\n    line: %[1]s\n    rest: open\n", testLine)
	b.WriteString(houseZone + houseRest)
	fmt.Fprintf(&b, "test:\n  at: \"%s\"\n  zone: %s\n  output: %s\n", now.Format("15:04"), testLine, testOutput)
	if v.panel {
		fmt.Fprintf(&b, "panels:\n  listen: %s\n  accounts:\n    - id: \"%s\"\n      name: 草坪小学\n      zones: {\"003\": 后门}\n      supervision: 90s\n      camera: %s\n",
			v.panels, panelAccount, v.views[len(v.views)-1].id)
	}
	b.WriteString("cameras:\n")
	for _, w := range v.views {
		fmt.Fprintf(&b, "  - id: %s\n    name: %s\n    url: %s\n    user: %s\n    password: %s\n", w.id, w.name, w.url, cameraUser, cameraPassword)
	}
	fmt.Fprintf(&b, "%s    carrier: %s\n    heartbeat: %s\n", centre, carrier, heartbeat)
	fmt.Fprintf(&b, "access:\n  - action: viewing.open\n    jurisdictions: [%s]\n    roles: [dispatcher]\nviewings:\n  loopback: true\n", v.jurisdiction)
	return b.String()
}

// freePort is an address on the loopback that is free for TCP and UDP right now.
func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	address := ln.Addr().String()
	return address, ln.Close()
}

// status asks the station's local door.
func (v *village) status(ctx context.Context) (status.Status, error) {
	var s status.Status
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://station"+status.Path, nil)
	if err != nil {
		return s, err
	}
	r, err := v.client().Do(req)
	if err != nil {
		return s, err
	}
	defer func() { _ = r.Body.Close() }() // it was read to its end
	return s, json.NewDecoder(r.Body).Decode(&s)
}

// until asks the station again and again until it is as wanted.
func (v *village) until(ctx context.Context, what string, wanted func(status.Status) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		s, err := v.status(ctx)
		if err == nil && wanted(s) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-v.agent.exited:
			return v.agent.failure()
		case <-ctx.Done():
			return fmt.Errorf("station %s is not %s: %w (last answer: %v)\n%s", v.id, what, ctx.Err(), err, tail(v.agent.log))
		}
	}
}

// online tells whether the centre has the station's link.
func online(s status.Status) bool { return len(s.Centres) > 0 && s.Centres[0].Online }

// stored tells whether the centre has stored every alarm so far, and there is one.
func stored(s status.Status) bool {
	head := s.Log.Heads["alarm"]
	return len(s.Centres) > 0 && head > 0 && s.Centres[0].Receipts["alarm"] >= head
}
