package main

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// channelProgress shows how many channels a command has done, where there is a terminal for that
// alone.
type channelProgress struct {
	errors io.Writer // for what is to be told meanwhile
	bars   *mpb.Progress
	bar    *mpb.Bar
}

// newChannelProgress shows the progress of what; 0 channels: it isn't known how many there are.
// Output that comes meanwhile must not go to the same terminal.
func newChannelProgress(stderr io.Writer, what string, output bool, channels int) *channelProgress {
	p := &channelProgress{errors: stderr}
	terminal := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) } //nolint:gosec // a file descriptor
	if !terminal(os.Stderr) || output && terminal(os.Stdout) {
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(os.Stderr), mpb.WithWidth(40))
	p.errors = p.bars // above the bar
	around := []mpb.BarOption{mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(what + " ")),
		mpb.AppendDecorators(decor.CurrentNoUnit("%d channels "), decor.Elapsed(decor.ET_STYLE_GO))}
	if channels > 0 {
		p.bar = p.bars.AddBar(int64(channels), around...)
	} else {
		p.bar = p.bars.AddSpinner(0, around...)
	}
	return p
}

func (p *channelProgress) step() {
	if p.bar != nil {
		p.bar.Increment()
	}
}

func (p *channelProgress) end() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
	}
}
