// Hubble's relay: the "serve" command of Cilium's hubble-relay, with all of its options, which tells on a descriptor when
// it can be asked.
//
//	relay [OPTION]… --ready-fd FD
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/viper"

	"github.com/cilium/cilium/hubble-relay/cmd/serve"
)

// announce writes the address to the descriptor as soon as something answers there.
func announce(fd int, address string) {
	for {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			fmt.Fprintf(os.NewFile(uintptr(fd), "ready"), "ready %s\n", address)
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func main() {
	last := len(os.Args) - 2
	if last < 1 || os.Args[last] != "--ready-fd" {
		fmt.Fprintln(os.Stderr, "usage: relay [OPTION]… --ready-fd FD")
		os.Exit(2)
	}
	fd, err := strconv.Atoi(os.Args[last+1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	for _, arg := range os.Args[1:last] {
		if address, is := strings.CutPrefix(arg, "--listen-address="); is {
			go announce(fd, address)
		}
	}
	command := serve.New(viper.New())
	command.SetArgs(os.Args[1:last])
	if err := command.Execute(); err != nil {
		os.Exit(1)
	}
}
