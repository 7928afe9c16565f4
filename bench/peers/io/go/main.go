// main.go: the servers of servers.h in Go: echo|http|mixed PORT THREADS; and its files, as files.h says:
// read FILE DEPTH SECONDS DIRECT, copy FROM TO.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"time"
)

const (
	bufferBytes = 4096
	longMark    = 'C'
	longTime    = 10 * time.Millisecond
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compute() {
	for end := time.Now().Add(longTime); time.Now().Before(end); {
	}
}

func serve(c net.Conn, mixed bool) {
	defer c.Close()
	buffer := make([]byte, bufferBytes)
	for { // ends with the connection
		n, err := c.Read(buffer)
		if err != nil {
			return
		}
		if mixed && buffer[0] == longMark {
			compute()
		}
		if _, err = c.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func serveAll(address string, mixed bool) {
	l, err := net.Listen("tcp", address)
	check(err)
	for { // until killed
		if c, err := l.Accept(); err == nil {
			go serve(c, mixed)
		}
	}
}

func main() {
	if len(os.Args) < 4 {
		os.Exit(2)
	}
	address := "127.0.0.1:" + os.Args[2]
	switch os.Args[1] {
	case "echo", "mixed":
		setThreads(os.Args[3])
		serveAll(address, os.Args[1] == "mixed")
	case "http":
		setThreads(os.Args[3])
		http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, "hello world\n")
		})
		check(http.ListenAndServe(address, nil))
	case "read":
		readAll(os.Args[2:])
	case "copy":
		copyAll(os.Args[2], os.Args[3])
	default:
		os.Exit(2)
	}
}

func setThreads(text string) {
	n, err := strconv.Atoi(text)
	check(err)
	runtime.GOMAXPROCS(n)
}
