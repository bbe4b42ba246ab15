package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"watchpost/firmware/status"
)

// Each refusal of the station is told with the way out, and ends stationctl with the exit code of its sort.
func TestRefusalsAreExplained(t *testing.T) {
	for _, tt := range []struct {
		no   denied
		wish any
		says string
		code int
	}{
		{denied{status.Refused{Reason: "not-normal", Zones: []string{"hall", "door"}}, http.StatusConflict}, status.Arm{Partition: "house", Mode: "stay", Force: []string{"shed"}},
			"stationctl arm house --mode stay --force shed,hall,door", exitRefused},
		{denied{status.Refused{Reason: "not-normal", Zones: []string{"hall"}}, http.StatusConflict}, status.WalkTest{}, "not normal: hall", exitRefused},
		{denied{status.Refused{Reason: "alarm"}, http.StatusConflict}, status.Clear{}, "disarm the partition first", exitRefused},
		{denied{status.Refused{Reason: "walk-test"}, http.StatusConflict}, status.Arm{}, "walktest PARTITION --off", exitRefused},
		{denied{status.Refused{Reason: "maintenance"}, http.StatusConflict}, status.Arm{}, "test --station --off", exitRefused},
		{denied{status.Refused{Reason: "no-right"}, http.StatusConflict}, status.Arm{}, "no right to do that", exitRefused},
		{denied{status.Refused{Reason: "no-right"}, http.StatusConflict}, status.Arm{Force: []string{"hall"}}, "--force also wants the right bypass", exitRefused},
		{denied{status.Refused{Reason: "of-a-later-version", Zones: []string{"hall"}}, http.StatusConflict}, status.Arm{}, "the station refuses: of-a-later-version hall", exitRefused},
		{denied{status.Refused{Reason: "unknown"}, http.StatusForbidden}, status.Arm{}, "nothing was done", exitRefused},
		{denied{status.Refused{RetryS: 60}, http.StatusTooManyRequests}, status.Arm{}, "1m0s", exitRefused},
		{denied{status.Refused{Reason: "mode"}, http.StatusBadRequest}, status.Arm{}, "mode", exitUsage},
		{denied{status.Refused{Reason: "disk"}, http.StatusServiceUnavailable}, status.Arm{}, "try again", exitFailed},
	} {
		err := explain(tt.no, tt.wish)
		if !strings.Contains(err.Error(), tt.says) || exitCode(err) != tt.code {
			t.Errorf("%+v: %v (%d), want %q (%d)", tt.no, err, exitCode(err), tt.says, tt.code)
		}
	}
}

// The zones that somebody forces are left alone by the advice: it is made in a place of its own.
func TestAdviceLeavesTheWishAlone(t *testing.T) {
	force := append(make([]string, 0, 8), "shed")
	err := explain(denied{status.Refused{Reason: "not-normal", Zones: []string{"hall"}}, http.StatusConflict}, status.Arm{Force: force})
	if _, ok := errors.AsType[*refusal](err); !ok || force[:2][1] == "hall" {
		t.Errorf("%v, %q", err, force[:2])
	}
}
