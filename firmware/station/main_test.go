package station

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestCommand(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// watchpostd runs the agent's Main and keeps its exit code in $code.
			"watchpostd": func(ts *testscript.TestScript, neg bool, args []string) {
				for i, a := range args {
					if _, err := os.Stat(ts.MkAbs(a)); err == nil {
						args[i] = ts.MkAbs(a)
					}
				}
				code := Main(t.Context(), args, ts.Stdout(), ts.Stderr(), Edition{Version: "v-test"})
				if neg == (code == exitOK) {
					ts.Fatalf("exit code %d", code)
				}
			},
		},
	})
}
