// The workloads on the Go runtime: goroutines and wait groups. See workloads.h.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const queensN = 11

func fib(n int) int {
	if n < 2 {
		return n
	}
	var left int
	var group sync.WaitGroup
	group.Add(1)
	go func() { left = fib(n - 1); group.Done() }()
	right := fib(n - 2)
	group.Wait()
	return left + right
}

// Runs part(0) to part(n-1) as goroutines; returns the sum of their results.
func all(n int, part func(i int) int) int {
	results := make([]int, n)
	var group sync.WaitGroup
	group.Add(n)
	for i := range results {
		i := i
		go func() { results[i] = part(i); group.Done() }()
	}
	group.Wait()
	sum := 0
	for _, result := range results {
		sum += result
	}
	return sum
}

func skynet(first, leaves int) int {
	if leaves == 1 {
		return first
	}
	return all(10, func(i int) int { return skynet(first+i*(leaves/10), leaves/10) })
}

type board struct {
	row    int8
	column [queensN]int8
}

func (b *board) fits(column int8) bool {
	for i := int8(0); i < b.row; i++ {
		distance, across := b.row-i, column-b.column[i]
		if across == 0 || across == distance || across == -distance {
			return false
		}
	}
	return true
}

func queens(b board) int {
	if b.row == queensN {
		return 1
	}
	var next []board
	for column := int8(0); column < queensN; column++ {
		if b.fits(column) {
			child := b
			child.column[child.row] = column
			child.row++
			next = append(next, child)
		}
	}
	return all(len(next), func(i int) int { return queens(next[i]) })
}

func utsChild(parent, i uint64) uint64 {
	z := parent + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

func uts(node uint64) int {
	if float64(node>>11)/9007199254740992.0 >= 0.12 {
		return 1
	}
	return 1 + all(8, func(i int) int { return uts(utsChild(node, uint64(i))) })
}

const block, matrix = 32, 512

// A square of size x size elements in matrices whose rows are `matrix` apart.
type product struct {
	c, a, b []float64
	size    int
}

func (p product) quarter(row, column, k int) product {
	half := p.size / 2
	return product{p.c[row*half*matrix+column*half:], p.a[row*half*matrix+k*half:], p.b[k*half*matrix+column*half:], half}
}

func multiply(p product) {
	if p.size == block {
		for i := 0; i < block; i++ {
			for k := 0; k < block; k++ {
				a := p.a[i*matrix+k]
				b, c := p.b[k*matrix:k*matrix+block], p.c[i*matrix:i*matrix+block]
				for j := range c {
					c[j] += a * b[j]
				}
			}
		}
		return
	}
	for k := 0; k < 2; k++ {
		all(4, func(i int) int { multiply(p.quarter(i/2, i%2, k)); return 0 })
	}
}

func matmul() bool {
	p := product{make([]float64, matrix*matrix), make([]float64, matrix*matrix), make([]float64, matrix*matrix), matrix}
	for i := range p.a {
		p.a[i], p.b[i] = float64(i%7), float64(i%5)-2
	}
	multiply(p)
	for i := 0; i < matrix; i += 31 { // enough to see a block that is missing
		for j := 0; j < matrix; j += 13 {
			want := 0.0
			for k := 0; k < matrix; k++ {
				want += p.a[i*matrix+k] * p.b[k*matrix+j]
			}
			if p.c[i*matrix+j] != want {
				return false
			}
		}
	}
	return true
}

var numbers = make([]uint32, 10000000)

// A goroutine for each processor and a stretch for each goroutine, as one writes it in Go.
func pfor() bool {
	n := runtime.GOMAXPROCS(0)
	all(n, func(i int) int {
		part := numbers[len(numbers)*i/n : len(numbers)*(i+1)/n]
		for j := range part {
			part[j] = part[j]*1664525 + 1013904223
		}
		return 0
	})
	return true
}

var workloads = map[string]struct {
	ops float64
	run func() bool
}{
	"fib":     {1346268, func() bool { return fib(30) == 832040 }},
	"skynet":  {1111111, func() bool { return skynet(0, 1000000) == 499999500000 }},
	"nqueens": {2680, func() bool { return queens(board{}) == 2680 }},
	"uts":     {191672, func() bool { return all(8000, func(i int) int { return uts(utsChild(42, uint64(i))) }) == 191672 }},
	"matmul":  {4096, matmul},
	"pfor":    {10000000, pfor},
	"storm":   {200000, func() bool { return all(200000, func(int) int { return 1 }) == 200000 }},
}

func main() {
	if len(os.Args) != 3 {
		os.Exit(2)
	}
	threads, _ := strconv.Atoi(os.Args[2])
	runtime.GOMAXPROCS(threads)
	if _, isGraph := graphSums[os.Args[1]]; isGraph {
		os.Exit(measureGraph(os.Args[1], threads))
	}
	w, known := workloads[os.Args[1]]
	if !known {
		os.Exit(2)
	}
	best := 1e300
	for i := 0; i < 3; i++ {
		start := time.Now()
		if !w.run() {
			os.Exit(1)
		}
		if took := float64(time.Since(start).Nanoseconds()); took < best {
			best = took
		}
	}
	fmt.Printf("%.4g\n", best/w.ops)
}
