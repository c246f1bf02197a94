package main

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"

	"github.com/cilium/cilium/pkg/monitor/payload"
)

// onSocket is what the monitor socket carries.
type onSocket struct {
	Data string `json:"data"` // hex
	CPU  int    `json:"cpu"`
	Lost uint64 `json:"lost"`
	Type int    `json:"type"`
}

// stream writes payloads as the agent writes them to a listener, and reads them as its own clients do.
func stream(text string) (string, []byte, error) {
	var told, read []onSocket
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		return "", nil, err
	}
	var written bytes.Buffer
	enc := gob.NewEncoder(&written)
	for _, t := range told {
		data, err := hex.DecodeString(t.Data)
		if err != nil {
			return "", nil, err
		}
		p := payload.Payload{Data: data, CPU: t.CPU, Lost: t.Lost, Type: t.Type}
		if err := p.EncodeBinary(enc); err != nil {
			return "", nil, err
		}
	}
	dec := gob.NewDecoder(bytes.NewReader(written.Bytes()))
	for {
		var p payload.Payload
		if err := p.DecodeBinary(dec); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", written.Bytes(), err
		}
		read = append(read, onSocket{hex.EncodeToString(p.Data), p.CPU, p.Lost, p.Type})
	}
	answer, err := json.Marshal(read)
	return string(answer), written.Bytes(), err
}
