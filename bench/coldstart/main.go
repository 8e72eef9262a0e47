// Command coldstart prints how large the functions are, and how long they take to start: in processes
// of their own, with a stub of Lambda's runtime API, and of AWS behind TLS, on this machine.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/sdsaws/sdsaws/internal/lambdazip"
)

func main() {
	starts := flag.Int("n", 20, "how often each function is started")
	flag.Parse()
	*starts = max(1, *starts)
	if err := run(context.Background(), *starts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n int) error {
	dir, err := os.MkdirTemp("", "sdsaws-coldstart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	names := []string{"participant", "sweeper"}
	if err := sizes(ctx, dir, names); err != nil {
		return err
	}
	aws, err := startAWS(dir)
	if err != nil {
		return err
	}
	defer aws.server.Close()
	fmt.Printf("\n%d starts each, %s, %d cores; median and 90th percentile, from the start of the process\n",
		n, runtime.GOARCH, runtime.NumCPU())
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', 0)
	fmt.Fprintln(table, "FUNCTION\tFIRST REQUEST TO AWS\tINIT ENDS\tFIRST INVOCATION TAKES")
	for _, name := range names {
		var all []start
		for range n {
			s, err := aws.start(ctx, filepath.Join(dir, name+"-"+runtime.GOARCH), name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			all = append(all, s)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", name,
			spread(all, func(s start) time.Duration { return s.aws }),
			spread(all, func(s start) time.Duration { return s.ready }),
			spread(all, func(s start) time.Duration { return s.invocation }))
	}
	return table.Flush()
}

// sizes builds each function for both architectures that Lambda has.
func sizes(ctx context.Context, dir string, names []string) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 3, ' ', 0)
	fmt.Fprintln(table, "FUNCTION\tARCHITECTURE\tBINARY\tZIP")
	for _, name := range names {
		for _, arch := range []string{"arm64", "amd64"} {
			file := filepath.Join(dir, name+"-"+arch)
			if err := lambdazip.Build(ctx, "", lambdazip.Functions[name], arch, file, false); err != nil {
				return err
			}
			b, err := os.ReadFile(file) //nolint:gosec // just built
			if err != nil {
				return err
			}
			zipped, err := lambdazip.Zip(b)
			if err != nil {
				return err
			}
			fmt.Fprintf(table, "%s\t%s\t%.1f MB\t%.1f MB\n", name, arch, megabytes(b), megabytes(zipped))
		}
	}
	return table.Flush()
}

func megabytes(b []byte) float64 { return float64(len(b)) / 1e6 }

// spread returns median and 90th percentile.
func spread(all []start, of func(start) time.Duration) string {
	var ms []float64
	for _, s := range all {
		ms = append(ms, of(s).Seconds()*1000)
	}
	slices.Sort(ms)
	return fmt.Sprintf("%.1f ms, %.1f ms", ms[len(ms)/2], ms[len(ms)*9/10])
}
