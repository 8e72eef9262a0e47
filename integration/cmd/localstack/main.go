// Command localstack starts a LocalStack that stays, stops it, and prints the environment
// of commands that use it.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/sdsaws/sdsaws/integration/localstack"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "localstack: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: localstack up|down|env")
	}
	switch args[0] {
	case "up", "env":
		// On the host, since testcontainers removes its containers when its process ends.
		i, err := localstack.Up(ctx)
		if err != nil {
			return err
		}
		for _, v := range i.Env() {
			fmt.Println("export " + v)
		}
		return nil
	case "down":
		return localstack.Down(ctx)
	}
	return fmt.Errorf("unknown command %q: use up, down or env", args[0])
}
