package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit statuses.
const (
	statusOK          = 0
	statusFailed      = 1
	statusUsage       = 2
	statusInterrupted = 130 // as shells tell of SIGINT
	statusPipe        = 141 // as shells tell of SIGPIPE
)

// Variables of the environment that stand in for flags.
const (
	nodesVariable     = "FLUSTER_NODES"
	placementVariable = "FLUSTER_PLACEMENT"
)

const about = `Tells where keys are, how evenly they are shared, and which of them move.

It reads lists of nodes and connects to none of them.`

const moreAbout = `A list of nodes (--nodes) is one or more URLs with commas between them, such as redis://10.0.0.1:6379,redis://10.0.0.2:6379?weight=2, or a file: YAML or JSON with a list of nodes, each a URL, an address, or a map with name, address or url, and weight; or the configuration of twemproxy. A placement (--placement) is named as "fluster placements" lists them; the default is what the file of twemproxy's says, or "balanced".

$FLUSTER_NODES and $FLUSTER_PLACEMENT stand in for flags that are not given.

Examples:

    fluster where --nodes nodes.yml user:42 user:43
    fluster where --nodes nodes.yml --down cache3 < keys.txt
    fluster spread --nodes nodes.yml --keys 1000000 --svg spread.svg
    fluster diff --from twemproxy.yml --to nodes.yml --json < keys.txt
    fluster placements

Exit status: 0 all went well; 1 it failed, or the answer is negative; 2 the command line is wrong; 130 it was interrupted.`

// cli is the command line. A field is a flag or a command.
type cli struct {
	Where      whereCmd      `cmd:"" help:"Tell the node of each key."`
	Spread     spreadCmd     `cmd:"" help:"Tell how evenly keys are shared."`
	Diff       diffCmd       `cmd:"" help:"Tell which keys move between two placements or lists of nodes."`
	Placements placementsCmd `cmd:"" help:"List the placements and their options."`

	Asked   helpFlag    `name:"help" short:"h" help:"Show help, also that of a command."`
	Version versionFlag `help:"Show the version."`
}

// Help is what --help adds.
func (cli) Help() string { return moreAbout }

// session is what a command may use of the world.
type session struct {
	ctx    context.Context
	stdin  io.Reader
	stdout *bufio.Writer
	stderr io.Writer
	hidden *strings.Replacer
	rest   []string // the arguments behind "--"
}

// note tells the operator something that is no result.
func (s *session) note(format string, args ...any) {
	_, _ = fmt.Fprintln(s.stderr, "fluster: "+s.hidden.Replace(fmt.Sprintf(format, args...)))
}

// hide returns what keeps arguments out of messages that may hold a password: a
// URL may have been given in the place of anything, and errors quote arguments.
func hide(args []string) *strings.Replacer {
	var pairs []string
	for _, arg := range args {
		_, value, _ := strings.Cut(arg, "=")
		for _, text := range append([]string{arg, value}, strings.Split(arg, ",")...) {
			if strings.Contains(text, "@") {
				quoted := strconv.Quote(text)
				pairs = append(pairs, quoted[1:len(quoted)-1], "(hidden)", text, "(hidden)")
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// run runs the program and returns its exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) int {
	s := &session{
		ctx: ctx, stdin: stdin, stdout: bufio.NewWriterSize(stdout, 64<<10), stderr: stderr,
		hidden: hide(append(slices.Clone(args), getenv(nodesVariable), getenv(placementVariable))),
	}
	err := s.dispatch(args, getenv)
	// What was found before an error is worth having.
	if flushErr := s.stdout.Flush(); err == nil {
		err = flushErr
	}
	return s.conclude(err)
}

// dispatch parses the command line and runs the command.
func (s *session) dispatch(args []string, getenv func(string) string) error {
	parser, err := kong.New(&cli{},
		kong.Name("fluster"), kong.Description(about),
		kong.Writers(s.stdout, s.stderr),
		kong.NoDefaultHelp(),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true, Compact: true, WrapUpperBound: 100}),
		kong.Resolvers(fromEnvironment(getenv)),
		kong.KindMapper(reflect.String, kong.MapperFunc(takeText)),
	)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	// The parser would do it, too, but takes a second for some thousands of keys.
	if end := slices.Index(args, "--"); end >= 0 {
		args, s.rest = args[:end], args[end+1:]
	}
	command, err := parser.Parse(args)
	if errors.Is(err, errAnswered) {
		return nil
	}
	if err != nil {
		return usagef("%v", err)
	}
	if len(s.rest) > 0 && command.Selected().Name != "where" {
		return usagef("unexpected argument %s", s.rest[0])
	}
	return command.Run(s)
}

// takeText gives a field an argument as it is. The parser itself would replace bytes
// that are not UTF-8, which keys and names of files may hold.
func takeText(ctx *kong.DecodeContext, target reflect.Value) error {
	token, err := ctx.Scan.PopValue("string")
	if err != nil {
		return err
	}
	target.SetString(token.String())
	return nil
}

// fromEnvironment gives the flags nodes and placement what the environment says.
func fromEnvironment(getenv func(string) string) kong.ResolverFunc {
	return func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		variable := map[string]string{"nodes": nodesVariable, "placement": placementVariable}[flag.Name]
		if variable == "" || getenv(variable) == "" {
			return nil, nil
		}
		return getenv(variable), nil
	}
}

// errAnswered ends the parsing of a command line that has its answer.
var errAnswered = errors.New("answered")

// helpFlag shows help and ends.
type helpFlag bool

// BeforeReset is called by kong.
func (helpFlag) BeforeReset(ctx *kong.Context) error {
	if err := ctx.PrintUsage(false); err != nil {
		return err
	}
	return errAnswered
}

// versionFlag shows the version and ends.
type versionFlag bool

// BeforeReset is called by kong.
func (versionFlag) BeforeReset(ctx *kong.Context) error {
	if _, err := fmt.Fprintln(ctx.Stdout, "fluster", version()); err != nil {
		return err
	}
	return errAnswered
}

// version tells what the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	words := []string{info.Main.Version}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			words = append(words, s.Value)
		}
		if s.Key == "vcs.modified" && s.Value == "true" {
			words = append(words, "(modified)")
		}
	}
	return strings.Join(append(words, info.GoVersion), " ")
}

// usageError says that the command line is wrong.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// conclude tells of an error and returns the exit status.
func (s *session) conclude(err error) int {
	var usage *usageError
	switch {
	case err == nil:
		return statusOK
	case errors.Is(err, errNegative):
		return statusFailed
	case errors.Is(err, syscall.EPIPE):
		return statusPipe
	case errors.Is(err, context.Canceled):
		s.note("interrupted")
		return statusInterrupted
	case errors.As(err, &usage):
		s.note("%v", err)
		s.note(`"fluster --help" tells more`)
		return statusUsage
	}
	s.note("%v", err)
	return statusFailed
}

// errNegative says that the answer, which has been told, is a negative one.
var errNegative = errors.New("negative")
