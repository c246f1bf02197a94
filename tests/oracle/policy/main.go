// Cilium's policy code as an answering machine: JSON lines in, JSON lines out.
//
//	{"world": {…}}                                     the cluster, as golden/policy/worlds has it
//	{"objects": [{…}], "connections": [[src, dst, protocol, port], …], "selects": true}
//
// Objects are policies; those that the resource definition or the agent refuses are told with the error of each, the
// others are loaded together, by the agent's own watcher, address cache and policy repository, and answered for.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

type question struct {
	World       *world            `json:"world"`
	Objects     []json.RawMessage `json:"objects"`
	Connections [][4]any          `json:"connections"`
	Selects     bool              `json:"selects"`
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	decoder := json.NewDecoder(in)
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	agent := newAgent()
	for decoder.More() {
		var q question
		var a any
		err := decoder.Decode(&q)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if q.World != nil {
			a = agent.enter(q.World)
		} else {
			a = agent.answer(&q)
		}
		if err := encoder.Encode(a); err != nil {
			os.Exit(2)
		}
		if in.Buffered() == 0 {
			out.Flush()
		}
	}
	out.Flush()
}
