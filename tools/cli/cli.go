// Each command of ours answers --help, and a word that it does not know, in the same manner.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// maxWidth is how wide help is at most, in columns.
const maxWidth = 110

// Parse reads args into c, a pointer to a struct with kong's tags. What comes back is run with the command's own dependencies; it is
// nil where help was asked for and has been printed. An error is a mistake in args, with its remedy.
func Parse(ctx context.Context, name, description string, c any, args []string, stdout, stderr io.Writer) (*kong.Context, error) {
	exit := -1
	parser, err := kong.New(c,
		kong.Name(name), kong.Description(description), kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: maxWidth}),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exit = code }), kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return nil, fmt.Errorf("building the command line: %w", err)
	}
	k, err := parser.Parse(args)
	switch {
	case exit >= 0:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%w; try `%s --help`", err, meant(name, err))
	}
	return k, nil
}

// meant is the command that a mistake is about, as it is called.
func meant(name string, err error) string {
	wrong, ok := errors.AsType[*kong.ParseError](err)
	if !ok {
		return name
	}
	var path string
	for node := wrong.Context.Selected(); node != nil && node.Type == kong.CommandNode; node = node.Parent {
		path = " " + node.Name + path
	}
	return name + path
}
