package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"watchpost/firmware/status"
)

// The police room of each village of the demonstration: a window in a supervised loop, armed, with a siren.
const (
	housePartition = "house"
	houseWindow    = "window"
	houseSiren     = "siren"
	houseCode      = "2468" // of the user demo
	houseHash      = "$argon2id$v=19$m=8192,t=2,p=1$dzG7lpNJJvspMohreuykXw$zCMusH+NGD9+TWVlPOaFCDpUPG9SDyU8v0w95ROr+50"
)

// houseBox describes what the room adds to the village's box.
const houseBox = `# Written by simctl demo.
outputs: [` + houseSiren + `]
buses:
  - name: chips
    kind: i2c
    chips: [{name: loops, chip: ads1115, address: 0x48}]
loops: [{name: ` + houseWindow + `, adc: loops, channel: 0, scheme: 4k7-dual}]
`

// houseZone is the window among the station's zones, and houseRest what else it configures.
const (
	houseZone = "  - id: " + houseWindow + `
    name: 后窗
    loop: {adc: loops, channel: 0, scheme: 4k7-dual}
    partition: ` + housePartition + `
    camera: gate
`
	houseRest = `buses:
  - {id: chips, kind: i2c, backend: linesock, board: main}
adcs:
  - {id: loops, chip: ads1115, bus: chips, address: 0x48}
outputs:
  - {id: siren, name: 警号, board: main, line: ` + houseSiren + `, role: siren, max_on: 30s}
partitions:
  - {id: ` + housePartition + `, name: 警务室, settle: 0s, outputs: [siren], siren: 20s}
users:
  - {id: demo, name: 演示, code: "` + houseHash + `"}
`
)

// boxFile writes the description of the village's box.
func (v *village) boxFile() (string, error) {
	path := filepath.Join(v.dir, "box.yaml")
	if err := os.WriteFile(path, []byte(houseBox), 0o600); err != nil {
		return "", fmt.Errorf("writing the box of %s: %w", v.id, err)
	}
	return path, nil
}

// client is one for the station's local door.
func (v *village) client() *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", v.door())
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 5 * time.Second}
}

// arm arms the police room at once. The window has to have been read before: it is asked again until it has.
func (v *village) arm(ctx context.Context) error {
	wish, err := json.Marshal(status.Arm{Partition: housePartition, Mode: "away", Now: true, Code: houseCode})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		code, said, err := v.wish(ctx, status.PathArm, wish)
		switch {
		case err == nil && code == http.StatusOK:
			return nil
		case err == nil && code != http.StatusConflict:
			return fmt.Errorf("arming the police room of %s: %d %s", v.id, code, said)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the police room of %s is not armed: %w (last answer: %s, %v)\n%s", v.id, ctx.Err(), said, err, tail(v.agent.log))
		}
	}
}

// wish asks the station's local door for something.
func (v *village) wish(ctx context.Context, path string, body []byte) (code int, said []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://station"+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	r, err := v.client().Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = r.Body.Close() }() // it was read to its end
	said, err = io.ReadAll(io.LimitReader(r.Body, 64<<10))
	return r.StatusCode, said, err
}
