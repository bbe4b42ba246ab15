package camera

import (
	"strings"
	"testing"
)

func TestFaultsSet(t *testing.T) {
	var f Faults
	for _, text := range []string{"no-marker", "no-sprop", "hevc", "close-after=3", "stall-after=4", "resize-after=5:640x368"} {
		if err := f.Set(text); err != nil {
			t.Error(err)
		}
	}
	if want := (Faults{true, true, true, 3, 4, 5, 640, 368}); f != want {
		t.Errorf("%+v, want %+v", f, want)
	}
	for text, want := range map[string]string{
		"no-pictures":             "unknown",
		"":                        "unknown",
		"close-after":             "a number of pictures",
		"close-after=0":           "a number of pictures",
		"stall-after=x":           "a number of pictures",
		"resize-after=5":          "WIDTHxHEIGHT",
		"resize-after=5:641x368":  "multiples of 16",
		"resize-after=-1:640x368": "a number of pictures",
	} {
		if err := f.Set(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", text, err, want)
		}
	}
}
