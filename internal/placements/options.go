package placements

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// options are what a spec may hold behind its colon.
type options map[string]option

// option is a flag, or something with a value.
type option struct {
	flag   *bool
	to     *string
	oneOf  []string // what the value may be, if not nil
	length int      // of the value in bytes, which may then be commas, if not 0
}

// value is an option whose value can be any text but the empty one.
func value(to *string) option { return option{to: to} }

// parse reads text into the options.
func (o options) parse(text string) error {
	seen := make(map[string]bool)
	for rest := text; rest != ""; {
		var err error
		if rest, err = o.one(rest, seen); err != nil {
			return err
		}
	}
	return nil
}

// one reads the first option of text and returns what follows its comma.
func (o options) one(text string, seen map[string]bool) (rest string, err error) {
	name := text[:strings.IndexAny(text+",", ",=")]
	opt, known := o[name]
	switch {
	case !known && len(o) == 0:
		return "", fmt.Errorf("it has no options, so what is %q?", name)
	case !known:
		return "", fmt.Errorf("it has no option %q, only %s", name, strings.Join(slices.Sorted(maps.Keys(o)), ", "))
	case seen[name]:
		return "", fmt.Errorf("the option %s is given twice", name)
	}
	seen[name] = true
	rest = text[len(name):]
	if opt.flag != nil {
		*opt.flag = true
	} else if rest, err = opt.read(name, rest); err != nil {
		return "", err
	}
	rest, comma := strings.CutPrefix(rest, ",")
	if comma == (rest == "") {
		return "", fmt.Errorf("what is behind the option %s is neither a comma nor the end, or nothing follows the comma", name)
	}
	return rest, nil
}

// read reads the value of the option from text, which begins behind its name.
func (opt option) read(name, text string) (rest string, err error) {
	text, given := strings.CutPrefix(text, "=")
	end := strings.IndexByte(text+",", ',')
	if opt.length > 0 {
		end = min(opt.length, len(text))
	}
	*opt.to = text[:end]
	switch {
	case !given || end == 0:
		return "", fmt.Errorf("the option %s needs a value, as in %s=VALUE", name, name)
	case opt.length > 0 && end < opt.length:
		return "", fmt.Errorf("the option %s needs a value of %d bytes", name, opt.length)
	case opt.oneOf != nil && !slices.Contains(opt.oneOf, *opt.to):
		return "", fmt.Errorf("the option %s is one of %s", name, strings.Join(opt.oneOf, ", "))
	}
	return text[end:], nil
}
