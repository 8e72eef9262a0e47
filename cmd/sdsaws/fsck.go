package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
)

type fsckFlags struct {
	stored
	all, repair, headsOnly, json bool
}

func fsckCommand() *cobra.Command {
	var f fsckFlags
	cmd := &cobra.Command{
		Use:   "fsck (CHANNEL… | --all) --backend BACKEND --namespace NS",
		Short: "Check all that is stored, and repair what can be",
		Long: `Read all that is stored of channels, in the tables and in the archive, and report every promise
that doesn't hold. It claims nothing, and may run while others commit, archive, sweep and drop.

It reads the log, every segment and every large value, and the retrieval hints of the messages
in the log. On DynamoDB --all scans the whole state table, of all namespaces, for what has no
head: a read unit for each 4 KB of it, and dynamodb:Scan has to be allowed. --heads-only spares
that: channels are then those that the index and the archive know.

For each channel it shows how many messages are history, evicted and in the log yet, and
archived, how many segments and large values there are, of how many bytes, and the result; below
it each finding. PENDING counts staged messages and objects that a commit may need which is under
way or delayed: they are all right, and garbage only when another commit or a load has come.
Results and verdicts, the worst first:

  failed       It could not be checked: see the error on standard error.
  broken       Something that was committed is missing or damaged.
  unfinished   Somebody has begun to archive or to drop it, and may be at it.
  garbage      Nothing refers to it, and no commit that is under way or delayed ever can.
  repaired     It was one of the last two.
  clean        All promises hold.

--repair goes on with what is unfinished and removes what is garbage. It decides by commit ids,
never by a clock, so it may run beside everything else too. It leaves a channel alone that has
anything broken: what looks like garbage there may be what a restore needs. It makes up no data.

What is broken isn't for a tool to mend; until it is, don't sweep the channel. Restore the state
table by point-in-time recovery under another name, to a moment before the damage, and copy back
what the findings name: messages and manifests by themselves, a head only with all else of its
channel. An object is needed in the version that was written: a replica of the bucket has it, and
one that is put again is another. What was "stored by a newer version" needs a newer sdsaws. Where
nothing can be restored, dropping the channel (DropChannel, in a program) lets it begin anew, if
it has a head.

With --json there is one object a channel: channel (null: of what is stored under keys that tell
no channel), live, evicted, archived, segments, values, bytes, hints, pending, result, findings
(verdict, item, error, repaired), more (findings beyond the thousandth) and, when it could not be
checked, error; the last line is the total: channels, how many of them with each result, failed,
and the same sums.

Exit status: 0 when all is clean; 3 when all that was found is repaired; 4 when something is
left: broken, or unfinished or garbage without --repair. 1 when nothing is known to be left, but
something could not be checked.

` + storedHelp,
		Example: `  sdsaws fsck --all --backend aws:state=sds-state,hints=sds-hints,bucket=sds-archive --namespace alice
  sdsaws fsck /group/1/chat --repair --backend embedded:./store --namespace alice --json`,
		RunE: func(cmd *cobra.Command, args []string) error { return fsck(cmd, f, args) },
	}
	f.addTo(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "check all channels of the namespace")
	flags.BoolVar(&f.repair, "repair", false, "go on with what is unfinished and remove garbage")
	flags.BoolVar(&f.headsOnly, "heads-only", false, "with --all: don't look for what has no head in the whole table")
	flags.BoolVar(&f.json, "json", false, "print one JSON object a channel, and the total")
	return cmd
}

func fsck(cmd *cobra.Command, f fsckFlags, args []string) (err error) {
	switch {
	case f.all == (len(args) > 0):
		return usageError(cmd, errors.New("give either CHANNEL… or --all"))
	case f.headsOnly && !f.all:
		return usageError(cmd, errors.New("--heads-only is about --all"))
	}
	channels, err := parseChannels(args)
	if err != nil {
		return usageError(cmd, err)
	}
	o, err := f.open(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.close(cmd.Context())) }()
	options := &sdsaws.CheckOptions{Repair: f.repair, HeadsOnly: f.headsOnly}
	checked := o.adapter.CheckAll(cmd.Context(), options)
	if !f.all {
		checked = o.checkEach(cmd.Context(), channels, options)
	}
	r := newFsckReport(cmd, f, len(channels))
	for c, err := range checked {
		if interrupted := cmd.Context().Err(); interrupted != nil && err != nil {
			break
		}
		if err := r.add(c, err); err != nil {
			r.progress.end()
			return err
		}
	}
	return r.end()
}

// checkEach checks channels, which have to be there.
func (o *opened) checkEach(
	ctx context.Context, ids []string, options *sdsaws.CheckOptions,
) iter.Seq2[*sdsaws.Checked, error] {
	return func(yield func(*sdsaws.Checked, error) bool) {
		for _, id := range ids {
			c, err := o.adapter.Check(ctx, id, options)
			if c == nil {
				c = &sdsaws.Checked{ChannelID: id}
			}
			if err == nil && !c.Found {
				err = o.noChannel(id)
			}
			if !yield(c, err) || ctx.Err() != nil {
				return
			}
		}
	}
}

// results are what a check of a channel can come to, the worst first.
var results = []string{"failed", "broken", "unfinished", "garbage", "repaired", "clean"}

// resultOf returns what a check has come to, one of results.
func resultOf(c *sdsaws.Checked, err error) string {
	for _, v := range []sdsaws.Verdict{sdsaws.Broken, sdsaws.Unfinished, sdsaws.Garbage} {
		if c.Has(v) {
			return v.String()
		}
	}
	switch {
	case err != nil:
		return "failed"
	case len(c.Findings) > 0:
		return "repaired"
	}
	return "clean"
}

// checkedLine is what a check says in a line of JSON.
type checkedLine struct {
	Live     int   `json:"live"`
	Evicted  int   `json:"evicted"`
	Archived int   `json:"archived"`
	Segments int   `json:"segments"`
	Values   int   `json:"values"`
	Bytes    int64 `json:"bytes"`
	Hints    int   `json:"hints"`
	Pending  int   `json:"pending"`
}

func (l *checkedLine) add(o checkedLine) {
	l.Live += o.Live
	l.Evicted += o.Evicted
	l.Archived += o.Archived
	l.Segments += o.Segments
	l.Values += o.Values
	l.Bytes += o.Bytes
	l.Hints += o.Hints
	l.Pending += o.Pending
}

type checkedChannel struct {
	Channel *string `json:"channel"`
	checkedLine
	Result   string        `json:"result"`
	Findings []findingLine `json:"findings"`
	More     int           `json:"more,omitempty"`
	Error    string        `json:"error,omitempty"`
}

type findingLine struct {
	Verdict  string `json:"verdict"`
	Item     string `json:"item"`
	Error    string `json:"error"`
	Repaired bool   `json:"repaired"`
}

type checkedTotal struct {
	Channels   int `json:"channels"`
	Clean      int `json:"clean"`
	Repaired   int `json:"repaired"`
	Garbage    int `json:"garbage"`
	Unfinished int `json:"unfinished"`
	Broken     int `json:"broken"`
	Failed     int `json:"failed"`
	checkedLine
}

// fsckReport shows what was found.
type fsckReport struct {
	cmd        *cobra.Command
	repair     bool
	lines      *json.Encoder // or nil
	table      *columns      // else
	progress   *channelProgress
	total      checkedLine
	channels   int
	count      map[string]int // by result
	incomplete bool           // not all channels are known
}

func newFsckReport(cmd *cobra.Command, f fsckFlags, channels int) *fsckReport {
	r := &fsckReport{cmd: cmd, repair: f.repair, count: map[string]int{},
		progress: newChannelProgress(cmd.ErrOrStderr(), "fsck", true, channels)}
	if f.json {
		r.lines = json.NewEncoder(cmd.OutOrStdout())
	} else {
		r.table = &columns{w: cmd.OutOrStdout(), header: []string{
			"CHANNEL", "LIVE", "EVICTED", "ARCHIVED", "SEGMENTS", "VALUES", "BYTES", "PENDING", "RESULT"}}
	}
	return r
}

// add shows a channel. Without one the error says that the channels can't be listed.
func (r *fsckReport) add(c *sdsaws.Checked, err error) error {
	if err != nil {
		fmt.Fprintf(r.progress.errors, "sdsaws: %v\n", err)
	}
	if c == nil {
		r.incomplete = true
		return nil
	}
	line := checkedChannel{checkedLine: checkedLine{c.Live, c.Evicted, c.Archived, c.Segments, c.Values, c.Bytes,
		c.Hints, c.Pending}, Result: resultOf(c, err), Findings: []findingLine{}, More: c.More}
	if c.ChannelID != "" {
		id := escapeID(c.ChannelID)
		line.Channel = &id
	}
	if err != nil {
		line.Error = err.Error()
	}
	for _, f := range c.Findings {
		line.Findings = append(line.Findings, findingLine{f.Verdict.String(), f.Item, f.Err.Error(), f.Repaired})
	}
	r.channels++
	r.count[line.Result]++
	r.total.add(line.checkedLine)
	r.progress.step()
	if r.lines != nil {
		return r.lines.Encode(line)
	}
	return r.show(&line)
}

func (r *fsckReport) show(l *checkedChannel) error {
	name := "(unknown)"
	if l.Channel != nil {
		name = `"` + *l.Channel + `"`
	}
	if err := r.row(name, l.checkedLine, l.Result); err != nil || len(l.Findings) == 0 {
		return err
	}
	if err := r.table.flush(); err != nil { // findings have no part in the columns
		return err
	}
	var b strings.Builder
	for _, f := range l.Findings {
		if f.Repaired {
			f.Verdict = "repaired"
		}
		fmt.Fprintf(&b, "  %-10s   %s: %s\n", f.Verdict, f.Item, f.Error)
	}
	if l.More > 0 {
		fmt.Fprintf(&b, "  and %d more\n", l.More)
	}
	_, err := fmt.Fprint(r.table.w, b.String())
	return err
}

func (r *fsckReport) row(name string, l checkedLine, result string) error {
	return r.table.row(name, fmt.Sprint(l.Live), fmt.Sprint(l.Evicted), fmt.Sprint(l.Archived),
		fmt.Sprint(l.Segments), fmt.Sprint(l.Values), fmt.Sprint(l.Bytes), fmt.Sprint(l.Pending), result)
}

// end shows the total, and returns what is wrong with it.
func (r *fsckReport) end() error {
	r.progress.end()
	if r.incomplete && r.channels == 0 && r.cmd.Context().Err() == nil {
		return errors.New("fsck: the channels can't be listed")
	}
	n := r.count
	var err error
	if r.lines != nil {
		err = r.lines.Encode(checkedTotal{r.channels, n["clean"], n["repaired"], n["garbage"], n["unfinished"],
			n["broken"], n["failed"], r.total})
	} else if err = r.row(fmt.Sprintf("total of %d", r.channels), r.total, r.counts()); err == nil {
		err = r.table.flush()
	}
	if err == nil {
		err = r.cmd.Context().Err()
	}
	if err != nil {
		return err
	}
	return r.verdict()
}

// counts says how many channels have which result.
func (r *fsckReport) counts() string {
	var all []string
	for _, result := range results {
		if n := r.count[result]; n > 0 {
			all = append(all, fmt.Sprintf("%d %s", n, result))
		}
	}
	return strings.Join(all, ", ")
}

// verdict returns the error that says what was found, with its exit status.
func (r *fsckReport) verdict() error {
	n := r.count
	status, hint := 0, ""
	switch {
	case n["broken"] > 0:
		status, hint = exitLeft, fmt.Sprintf("; what to do about what is broken: %s --help", r.cmd.CommandPath())
	case n["unfinished"]+n["garbage"] > 0 && r.repair:
		status, hint = exitLeft, "; others may be at it: check again"
	case n["unfinished"]+n["garbage"] > 0:
		status, hint = exitLeft, "; --repair goes on with that"
	case n["failed"] > 0 || r.incomplete:
		status = exitFailed
	case n["repaired"] > 0:
		status = exitRepaired
	default:
		return nil
	}
	if r.incomplete {
		hint = ", and there may be more channels" + hint
	}
	return &exitError{status, fmt.Errorf("fsck: channels: %s%s", cmp.Or(r.counts(), "none"), hint)}
}
