import Foundation
import TestSupport
import Testing

@testable import Tensors

/// Each against its formula in float64, by loops. Inputs lie in -1...1, so the sums of n products are below n, and f32
/// sums are within n · eps · n of it (Higham, Accuracy and Stability, 4.2); eps = 2^-24.
private func tolerance(_ terms: Int) -> Float { Float(terms * terms) * 0x1p-24 + 0x1p-24 }

private func random(_ shape: Shape, seed: UInt64, on device: Device) -> Tensor {
    var numbers = SeededNumbers(seed: seed)
    return Tensor(numbers.floats(shape.count), shape, on: device)
}

@Suite struct ConvolutionTests {
    /// Even and odd sizes, a single position, more than one strip of times.
    @Test(arguments: KernelSet.available, [[1, 1, 1, 1], [2, 5, 3, 4], [7, 4, 2, 3], [19, 6, 5, 2]])
    func halvingEqualsFormula(kernels: KernelSet, sizes: [Int]) {
        let (times, frequencies, channels, outputs) = (sizes[0], sizes[1], sizes[2], sizes[3])
        let device = Device(threadCount: 3, kernels: kernels)
        let x = random([times, frequencies, channels], seed: 1, on: device)
        let weight = random([outputs, 9 * channels], seed: 2, on: device)
        let (input, taps) = (x.toArray(), weight.toArray())
        var expected: [Float] = []
        for time in 0..<(times + 1) / 2 {
            for frequency in 0..<(frequencies + 1) / 2 {
                for output in 0..<outputs {
                    var sum = 0.0
                    for tap in 0..<9 {
                        let (t, f) = (2 * time + tap / 3 - 1, 2 * frequency + tap % 3 - 1)
                        guard (0..<times).contains(t), (0..<frequencies).contains(f) else { continue }
                        for channel in 0..<channels {
                            sum +=
                                Double(input[(t * frequencies + f) * channels + channel])
                                * Double(taps[(output * 9 + tap) * channels + channel])
                        }
                    }
                    expected.append(Float(sum))
                }
            }
        }
        expectClose(x.halvingConvolution(weight).toArray(), expected, absolute: tolerance(9 * channels))
    }

    /// Shorter and longer than the kernel; a kernel of one.
    @Test(arguments: KernelSet.available, [[1, 3, 5], [3, 17, 5], [40, 5, 3], [4, 2, 1]])
    func depthwiseEqualsFormula(kernels: KernelSet, sizes: [Int]) {
        let (times, channels, size) = (sizes[0], sizes[1], sizes[2])
        let device = Device(threadCount: 3, kernels: kernels)
        let x = random([times, channels], seed: 3, on: device)
        let weight = random([size, channels], seed: 4, on: device)
        let (input, taps) = (x.toArray(), weight.toArray())
        let expected = (0..<times * channels).map { index in
            let (t, c) = index.quotientAndRemainder(dividingBy: channels)
            return Float(
                (0..<size).reduce(0.0) { sum, j in
                    let source = t - (size - 1) + j
                    guard source >= 0 else { return sum }
                    return sum + Double(taps[j * channels + c]) * Double(input[source * channels + c])
                })
        }
        expectClose(x.causalDepthwiseConvolution(weight).toArray(), expected, absolute: tolerance(size))
    }

    @Test(arguments: KernelSet.available, [[3, 3, 1, 3], [6, 9, 5, 3], [4, 2, 7, 2], [5, 4, 3, 1]])
    func poolingEqualsFormula(kernels: KernelSet, sizes: [Int]) {
        let (rows, columns, width, side) = (sizes[0], sizes[1], sizes[2], sizes[3])
        let device = Device(threadCount: 3, kernels: kernels)
        let x = random([rows * columns, width], seed: 5, on: device)
        let input = x.toArray()
        var expected: [Float] = []
        for row in stride(from: 0, to: rows, by: side) {
            for column in stride(from: 0, to: columns, by: side) {
                for c in 0..<width {
                    let sum = (0..<side * side).reduce(0.0) { sum, cell in
                        sum + Double(input[((row + cell / side) * columns + column + cell % side) * width + c])
                    }
                    expected.append(Float(sum / Double(side * side)))
                }
            }
        }
        let found = x.averagePooled(gridColumns: columns, side: side)
        expectClose(found.toArray(), expected, absolute: tolerance(side * side))
    }

    /// Fewer positions than the window, and more; a window of one sees itself only.
    @Test(arguments: KernelSet.available, [[1, 2, 3, 4], [5, 1, 8, 12], [33, 3, 20, 7], [6, 2, 4, 1]])
    func bandedAttentionEqualsFormula(kernels: KernelSet, sizes: [Int]) {
        let (count, heads, size, window) = (sizes[0], sizes[1], sizes[2], sizes[3])
        let device = Device(threadCount: 3, kernels: kernels)
        let tensors = (0..<3).map { random([count, heads, size], seed: 6 + $0, on: device) }
        let relative = random([window, heads, size], seed: 9, on: device)
        let (q, k, v, r) = (tensors[0].toArray(), tensors[1].toArray(), tensors[2].toArray(), relative.toArray())
        let cap = 2.0  // low enough to bend the scores
        var expected = [Float](repeating: 0, count: q.count)
        for t in 0..<count {
            for head in 0..<heads {
                func row(_ position: Int) -> Int { (position * heads + head) * size }
                let seen = max(0, t - window + 1)...t
                let weights = seen.map { s in
                    let score = (0..<size).reduce(0.0) { sum, i in
                        let key = Double(k[row(s) + i]) + Double(r[row(window - 1 - (t - s)) + i])
                        return sum + Double(q[row(t) + i]) * key
                    }
                    return exp(cap * tanh(score / cap))
                }
                let total = weights.reduce(0, +)
                for i in 0..<size {
                    let sum = zip(seen, weights).reduce(0.0) { $0 + $1.1 * Double(v[row($1.0) + i]) }
                    expected[row(t) + i] = Float(sum / total)
                }
            }
        }
        let found = tensors[0].bandAttending(
            keys: tensors[1], values: tensors[2], relativeKeys: relative, cap: Float(cap))
        // Scores within 2 size² eps make weights within twice that, relative; their mean of values below 1 likewise.
        expectClose(found.toArray(), expected, absolute: 4 * tolerance(size) + tolerance(window) + 0x1p-20)
    }
}
