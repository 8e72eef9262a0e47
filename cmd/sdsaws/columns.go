package main

import (
	"io"
	"strings"
	"unicode/utf8"
)

// columns writes rows, a block at a time, so that any number of them takes little memory.
// Each column is as wide as its widest cell so far.
type columns struct {
	w      io.Writer
	header []string   // written before the first row, so not at all without one; or nil
	rows   [][]string // not written yet
	widths []int
}

const (
	columnsBlock = 50 // rows
	maxColumn    = 80 // how wide a column can get; cells that are wider are shown whole
)

func (c *columns) row(cells ...string) error {
	if c.header != nil {
		c.rows, c.header = append(c.rows, c.header), nil
	}
	c.rows = append(c.rows, cells)
	if len(c.rows) < columnsBlock {
		return nil
	}
	return c.flush()
}

func (c *columns) flush() error {
	for _, cells := range c.rows {
		for i, cell := range cells {
			if i == len(c.widths) {
				c.widths = append(c.widths, 0)
			}
			c.widths[i] = max(c.widths[i], min(utf8.RuneCountInString(cell), maxColumn))
		}
	}
	var b strings.Builder
	for _, cells := range c.rows {
		for i, cell := range cells {
			b.WriteString(cell)
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", max(0, c.widths[i]-utf8.RuneCountInString(cell))+3))
			}
		}
		b.WriteByte('\n')
	}
	c.rows = c.rows[:0]
	_, err := io.WriteString(c.w, b.String())
	return err
}
