package fanin

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// story tells a book what happens, by a clock that it sets itself.
type story struct {
	*book
	t    *testing.T
	home string
	gaps []Gap
}

var (
	epoch   = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	channel = topic{byChannel, "c"}
	pattern = topic{byPattern, "p*"}
	errCut  = errors.New("cut")
)

// second returns a moment.
func second(n float64) time.Time { return epoch.Add(time.Duration(n * float64(time.Second))) }

// begin has a channel at home at home, a pattern, and live nodes, at second 0.
func begin(t *testing.T, home string, live ...string) *story {
	s := &story{t: t, home: home}
	s.book = newBook(time.Minute, func(string) string { return s.home })
	s.view(live, second(0))
	s.ask([]topic{channel, pattern}, second(0))
	return s
}

// connect opens a connection to a node and has everything confirmed that is due.
func (s *story) connect(node string, at float64) {
	s.open(node)
	s.settle(node, at)
}

// settle has everything confirmed that is due at a node.
func (s *story) settle(node string, at float64) {
	on, off := s.due(node, second(at))
	for _, topics := range [][]topic{off, on} {
		for _, t := range topics {
			s.confirm(node, t)
		}
	}
	if g, told := s.restored(node, second(at+0.1)); told {
		s.gaps = append(s.gaps, g)
	}
}

func (s *story) cut(node string) {
	if g, told := s.lost(node, errCut); told {
		s.gaps = append(s.gaps, g)
	}
}

// see shows it the nodes that live, and the channel's home.
func (s *story) see(at float64, home string, live ...string) {
	s.home = home
	s.gaps = append(s.gaps, s.view(live, second(at))...)
}

// told takes the gaps told since.
func (s *story) told() []Gap {
	gaps := s.gaps
	s.gaps = nil
	for i := range gaps {
		gaps[i].Cause = nil
	}
	return gaps
}

var (
	both        = Topics{Channels: []string{"c"}, Patterns: []string{"p*"}}
	onlyChannel = Topics{Channels: []string{"c"}}
	onlyPattern = Topics{Patterns: []string{"p*"}}
)

func TestNothingIsMissingAtTheBeginning(t *testing.T) {
	s := begin(t, "a", "a", "b")
	assert.Len(t, s.unconfirmed(), 2)
	s.connect("a", 1)
	assert.Equal(t, []topic{pattern}, s.unconfirmed())
	s.connect("b", 1)
	assert.Empty(t, s.unconfirmed())
	assert.Empty(t, s.told())
}

func TestAGapReachesBackToWhatWasAnsweredLast(t *testing.T) {
	s := begin(t, "a", "a")
	s.connect("a", 1)
	s.answered("a", second(5))
	s.answered("a", second(4)) // late
	s.cut("a")
	assert.Equal(t, []Gap{{Node: "a", Topics: both, Since: second(5)}}, s.told())
	s.connect("a", 8)
	assert.Equal(t, []Gap{{Node: "a", Topics: both, Since: second(5), Until: second(8.1)}}, s.told())
	s.cut("a")
	assert.Equal(t, []Gap{{Node: "a", Topics: both, Since: second(8)}}, s.told(), "since it was subscribed to, if nothing was answered after that")
}

func TestAChannelMovesWithWhatWasMissedAtItsOldHome(t *testing.T) {
	s := begin(t, "a", "a", "b")
	s.connect("a", 1)
	s.connect("b", 1)
	s.answered("a", second(5))
	s.cut("a")
	assert.Equal(t, []Gap{{Node: "a", Topics: both, Since: second(5)}}, s.told())
	s.see(6, "b", "b")
	s.settle("b", 7)
	assert.Equal(t, []Gap{{Node: "b", Topics: onlyChannel, Since: second(5), Until: second(7.1)}}, s.told())
	assert.Empty(t, s.unconfirmed())

	s.see(20, "a", "a", "b")
	s.connect("a", 21)
	assert.Equal(t, []Gap{{Node: "a", Topics: both, Since: second(5), Until: second(21.1)}}, s.told())
	assert.True(t, s.confirmed(channel, "b"), "for a while")
	assert.Equal(t, second(80), s.expire(second(79)))
	assert.True(t, s.expire(second(80)).IsZero())
	_, off := s.due("b", second(80))
	assert.Equal(t, []topic{channel}, off)
}

func TestAHomeThatIsOutButAnswersIsKept(t *testing.T) {
	s := begin(t, "a", "a", "b")
	s.connect("a", 1)
	s.connect("b", 1)
	s.answered("a", second(5))
	s.see(6, "b", "b")
	s.settle("b", 7)
	assert.Equal(t, []Gap{{Node: "b", Topics: onlyChannel, Since: second(5), Until: second(7.1)}}, s.told())
	assert.True(t, s.confirmed(channel, "a"))
	s.see(8, "a", "a", "b")
	assert.Empty(t, s.told(), "it was there all the time")
	assert.True(t, s.confirmed(channel, "b"))
	s.see(9, "b", "b")
	assert.Equal(t, []Gap{{Node: "b", Topics: onlyChannel, Since: second(5), Until: second(9)}}, s.told(), "and it is there already")
}

func TestAKeptHomeThatIsLostIsNoNewsOfTheChannel(t *testing.T) {
	s := begin(t, "a", "a", "b")
	s.connect("a", 1)
	s.connect("b", 1)
	s.see(6, "b", "b")
	s.settle("b", 7)
	s.told()
	s.cut("a")
	assert.Equal(t, []Gap{{Node: "a", Topics: onlyPattern, Since: second(1)}}, s.told())
	s.see(10, "a", "a", "b")
	s.connect("a", 11)
	assert.Equal(t, []Gap{{Node: "a", Topics: both, Since: second(1), Until: second(11.1)}}, s.told())
}

// Publishers may not have seen yet that the home is back.
func TestAKeptHomeIsRestoredIfItsConnectionIsLost(t *testing.T) {
	for name, first := range map[string]func(*story){
		"before the move": func(s *story) {
			s.answered("b", second(8))
			s.cut("b")
			assert.Equal(t, []Gap{{Node: "b", Topics: both, Since: second(8)}}, s.told())
			s.see(20, "a", "a", "b")
		},
		"after the move": func(s *story) {
			s.see(20, "a", "a", "b")
			s.cut("b")
			assert.Equal(t, []Gap{{Node: "b", Topics: onlyPattern, Since: second(1)}}, s.told())
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := begin(t, "a", "a", "b")
			s.connect("a", 1)
			s.connect("b", 1)
			s.cut("a")
			s.see(6, "b", "b")
			s.settle("b", 7)
			s.told()
			first(s)
			s.connect("b", 21)
			gaps := s.told()
			require.Len(t, gaps, 1)
			assert.Equal(t, both, gaps[0].Topics)
			assert.Equal(t, "b", gaps[0].Node)
			assert.Equal(t, second(21.1), gaps[0].Until)
			s.expire(second(80))
			assert.False(t, s.wants(channel, "b"))
		})
	}
}

func TestANodeThatWasDownFromTheBeginningIsAGapSinceItWasAsked(t *testing.T) {
	s := begin(t, "b", "b")
	s.connect("b", 1)
	assert.Empty(t, s.unconfirmed())
	s.see(10, "a", "a", "b")
	assert.Len(t, s.unconfirmed(), 2)
	s.connect("a", 11)
	assert.Equal(t, []Gap{{Node: "a", Topics: both, Since: second(0), Until: second(11.1)}}, s.told())
}

func TestANodeThatGoesBeforeItIsConfirmedIsAGapSinceItWasAsked(t *testing.T) {
	s := begin(t, "a", "a", "b")
	s.connect("b", 1)
	s.open("a")
	s.due("a", second(1))
	s.cut("a")
	s.see(2, "b", "b")
	s.settle("b", 3)
	s.see(10, "b", "a", "b")
	s.connect("a", 11)
	assert.Equal(t, []Gap{
		{Node: "b", Topics: onlyChannel, Since: second(0), Until: second(3.1)},
		{Node: "a", Topics: onlyPattern, Since: second(0), Until: second(11.1)},
	}, s.told())
}

func TestAllDownIsReadyWhenSomebodyIsBack(t *testing.T) {
	s := begin(t, "")
	assert.Len(t, s.unconfirmed(), 2)
	assert.False(t, s.needs("a"))
	s.see(5, "a", "a")
	assert.True(t, s.needs("a"))
	s.connect("a", 6)
	assert.Empty(t, s.unconfirmed())
	s.cut("a")
	s.told()
	s.see(7, "")
	assert.Len(t, s.unconfirmed(), 2)
	s.see(8, "b", "b")
	s.connect("b", 9)
	assert.Empty(t, s.unconfirmed())
	assert.Equal(t, []Gap{{Node: "b", Topics: both, Since: second(0), Until: second(9.1)}}, s.told())
}

func TestASecondFailureMovesAChannelOn(t *testing.T) {
	s := begin(t, "a", "a", "b", "c")
	for _, node := range []string{"a", "b", "c"} {
		s.connect(node, 1)
		s.answered(node, second(5))
	}
	s.cut("a")
	s.see(6, "b", "b", "c")
	s.cut("b") // before it was subscribed to there
	s.see(7, "c", "c")
	s.told()
	s.settle("c", 8)
	assert.Equal(t, []Gap{{Node: "c", Topics: onlyChannel, Since: second(5), Until: second(8.1)}}, s.told())
}

func TestOnlyTheLastConfirmationCounts(t *testing.T) {
	s := begin(t, "a", "a")
	s.open("a")
	s.drop([]topic{pattern})
	s.due("a", second(1))
	s.drop([]topic{channel})
	_, off := s.due("a", second(2))
	require.Equal(t, []topic{channel}, off)
	s.ask([]topic{channel}, second(3))
	s.due("a", second(3))
	assert.False(t, s.confirm("a", channel))
	assert.False(t, s.confirm("a", channel))
	assert.False(t, s.confirmed(channel, "a"))
	assert.True(t, s.confirm("a", channel))
	assert.True(t, s.confirmed(channel, "a"))
	assert.False(t, s.confirm("a", channel), "nobody asked")
	assert.False(t, s.confirm("a", pattern), "nobody asked")
}
