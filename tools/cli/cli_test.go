package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// shout is a command line of a command, and of one within another.
type shout struct {
	Shout struct {
		Loud bool   `help:"Louder."`
		Word string `arg:""`
	} `cmd:"" help:"Say a word."`
	Sing struct {
		Song struct {
			Title string `arg:""`
		} `cmd:"" help:"A song."`
	} `cmd:"" help:"Sing."`
}

func TestParse(t *testing.T) {
	for args, want := range map[string]string{
		"shout --loud hello": "",
		"--help":             "Say a word.",
		"shout --help":       "Louder.",
		"shout":              "expected \"<word>\"; try `crier shout --help`",
		"sing song":          "expected \"<title>\"; try `crier sing song --help`",
		"sing song --flat x": "unknown flag --flat; try `crier sing song --help`",
		"whisper hello":      "unexpected argument whisper; try `crier --help`",
		"shout --lood hello": "unknown flag --lood, did you mean \"--loud\"?; try `crier shout --help`",
	} {
		var c shout
		var out bytes.Buffer
		k, err := Parse(t.Context(), "crier", "A crier.", &c, strings.Fields(args), &out, io.Discard)
		switch help := strings.Contains(args, "--help"); {
		case help && (k != nil || err != nil || !strings.Contains(out.String(), want)):
			t.Errorf("%s: %v, %q, want %q", args, err, out.String(), want)
		case !help && want == "" && (err != nil || k == nil || k.Command() != "shout <word>" || !c.Shout.Loud || c.Shout.Word != "hello"):
			t.Errorf("%s: %v, %+v", args, err, c)
		case !help && want != "" && (err == nil || k != nil || !strings.HasSuffix(err.Error(), want)):
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
