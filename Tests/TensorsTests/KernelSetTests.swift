import CKernels
import Foundation
import TestSupport
import Testing

@testable import Tensors

private let eps: Float = 0x1p-24

/// Every set this CPU runs against the contract in CKernels.h, on counts that leave part of a vector.
@Suite struct KernelSetTests {
    static let counts = [0, 1, 3, 7, 8, 15, 16, 17, 31, 33, 100, 1027]

    @Test(arguments: KernelSet.available, counts)
    func elementwise(set: KernelSet, count: Int) {
        var numbers = SeededNumbers(seed: 1)
        let (a, b) = (numbers.floats(count), numbers.floats(count))
        let table = set.table
        func run(_ kernel: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
            var out = a + [7]  // one more, which must stay
            kernel(&out)
            #expect(out.removeLast() == 7)
            return out
        }
        #expect(run { table.add($0, a, b, count) } == zip(a, b).map(+))
        #expect(run { table.multiply($0, a, b, count) } == zip(a, b).map(*))
        #expect(run { table.scale($0, a, 0.3, count) } == a.map { $0 * 0.3 })
        #expect(run { table.clamp($0, a, -0.25, 0.5, count) } == a.map { min(max($0, -0.25), 0.5) })
        // Fused or not: one rounding of the product, of magnitude at most 1.
        expectClose(run { table.multiply_add($0, b, b, count) }, zip(a, b).map { $0 + $1 * $1 }, absolute: 2 * eps)
    }

    /// e^x, tanh, GELU and SiLU over the whole range of f32, within the bounds of the header.
    @Test(arguments: KernelSet.available)
    func elementaryFunctions(set: KernelSet) {
        // Every 60,013th float: 70,000 of all signs and magnitudes; and the points where the formulas change.
        var x = stride(from: UInt32(0), to: .max - 60_013, by: 60_013).map { Float(bitPattern: $0) }.filter(\.isFinite)
        x += stride(from: Float(-110), to: 100, by: 0.037) + [0.5, -0.5, 88.722_84, -87.336_54, -103.9, -104.1]
        let ones = [Float](repeating: 1, count: x.count)
        func run(_ kernel: (UnsafeMutablePointer<Float>) -> Void) -> [Float] {
            var out = x
            kernel(&out)
            return out
        }
        expectUlps(run { _ = set.table.exponentials($0, x, 0, x.count) }, x.map { exp(Double($0)) }, 2)
        expectUlps(run { set.table.soft_cap($0, x, 1, x.count) }, x.map { tanh(Double($0)) }, 5)
        expectUlps(
            run { set.table.silu($0, x, x.count) }, x.map { Double($0) / (1 + exp(-Double($0))) }, 4, floor: 0x1p-121)
        expectUlps(
            run { set.table.sigmoid_multiply($0, ones, x, x.count) }, x.map { 1 / (1 + exp(-Double($0))) }, 4,
            floor: 0x1p-127)
        let gelu = run { set.table.gelu_multiply($0, x, ones, x.count) }
        let worst = zip(x, gelu).map { z, value in
            let exact = geluExactly(Double(z))
            return abs(Double(value) - exact) / (Double(abs(z)) * Double(eps) + 0x1p-148)
        }.max()!
        #expect(worst <= 4)
    }

    @Test(arguments: KernelSet.available)
    func extremesGoThrough(set: KernelSet) {
        let x: [Float] = [.infinity, -.infinity, .nan, 0, -0.0, 3e38, -3e38, 0x1p-149]
        func run(_ kernel: (UnsafeMutablePointer<Float>, Int) -> Void) -> [Float] {
            var out = x
            kernel(&out, x.count)
            return out
        }
        expectClose(run { _ = set.table.exponentials($0, x, 0, $1) }, [.infinity, 0, .nan, 1, 1, .infinity, 0, 1])
        expectClose(
            run { set.table.soft_cap($0, x, 30, $1) }, [30, -30, .nan, 0, -0.0, 30, -30, 0x1p-149], absolute: 0x1p-147)
        expectClose(run { set.table.clamp($0, x, -1, 1, $1) }, [1, -1, .nan, 0, -0.0, 1, -1, 0x1p-149])
        let silu = run { set.table.silu($0, x, $1) }
        #expect(silu[0] == .infinity && silu[2].isNaN && silu[5] == 3e38 && silu[6] == 0)
        #expect(set.table.maximum(x, x.count) == .infinity)
        #expect(set.table.maximum([.nan, -3, .nan], 3) == -3)
        #expect(set.table.maximum(x, 0) == -.infinity)
    }

    @Test(arguments: KernelSet.available, counts.dropFirst())
    func rows(set: KernelSet, count: Int) {
        var numbers = SeededNumbers(seed: 2)
        let (x, weight) = (numbers.floats(count), numbers.floats(count, in: 0.5...2))
        let wide = x.map(Double.init)
        var out = x

        #expect(set.table.maximum(x, count) == x.max())

        let sum = set.table.exponentials(&out, x, 1, count)
        // `count` positive terms, each within 2 ulp of e^(x - 1) (the difference rounded: half an ulp of at most 2).
        let exact = wide.reduce(0) { $0 + exp($1 - 1) }
        #expect(abs(Double(sum) - exact) <= exact * Double(count + 8) * Double(eps))

        let root = (wide.reduce(0) { $0 + $1 * $1 } / Double(count) + 1e-6).squareRoot()
        set.table.rms_norm(&out, x, weight, 1e-6, count)
        let bound = Float(count + 8) * eps
        expectClose(out, (0..<count).map { Float(wide[$0] / root * Double(weight[$0])) }, relative: bound)
        set.table.rms_norm(&out, x, nil, 1e-6, count)
        expectClose(out, wide.map { Float($0 / root) }, relative: bound)

        let mean = wide.reduce(0, +) / Double(count)
        let deviation = (wide.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count) + 1e-6).squareRoot()
        set.table.layer_norm(&out, x, weight, 1e-6, count)
        let magnitude = wide.reduce(0) { $0 + abs($1) } / Double(count) / deviation
        expectClose(
            out, (0..<count).map { Float((wide[$0] - mean) / deviation * Double(weight[$0])) },
            absolute: bound * 2 * Float(magnitude), relative: bound)
    }

    /// Odd rows, columns and panels, with and without accumulation; adjacent memory is unchanged.
    @Test(arguments: KernelSet.available, [(1, 1, 1), (5, 3, 2), (6, 17, 3), (19, 255, 4), (96, 256, 1), (95, 64, 7)])
    func multipliesPanels(set: KernelSet, shape: (rows: Int, columns: Int, panels: Int)) {
        let (rows, columns, panels) = shape
        let (stride, sumSize) = (Int(PANEL_COLUMNS), rows * 16 + 5)
        var numbers = SeededNumbers(seed: 9)
        let (weight, x) = (numbers.floats(rows * stride), numbers.floats(panels * columns * 16))
        let before = numbers.floats(panels * sumSize)
        for adds in [false, true] {
            var sums = before
            set.table.panel_product(&sums, sumSize, weight, x, panels, rows, columns, adds)
            let expected = before.indices.map { index in
                let (panel, row, token) = (index / sumSize, index % sumSize / 16, index % sumSize % 16)
                if row == rows { return Double(before[index]) }
                return (0..<columns).reduce(adds ? Double(before[index]) : 0) {
                    $0 + Double(weight[row * stride + $1]) * Double(x[(panel * columns + $1) * 16 + token])
                }
            }
            // Terms of magnitude at most 1, one rounding for each addition.
            expectClose(sums, expected.map(Float.init), absolute: Float((columns + 1) * (columns + 1)) * eps)
        }
    }

    /// Rows become panels and come back, whatever the number of rows and columns.
    @Test(
        arguments: KernelSet.available,
        [(1, 1), (1, 19), (3, 4), (4, 16), (7, 1), (8, 19), (11, 33), (16, 4), (16, 64), (17, 5)])
    func interleavesAndBack(set: KernelSet, shape: (rows: Int, size: Int)) {
        let (rows, size) = (min(16, shape.rows), shape.size)
        var numbers = SeededNumbers(seed: 10)
        let x = numbers.floats(22 * 2 * size)
        let groups = grouped_rows(group: 2, group_stride: 2 * size, size: size)
        var panel = [Float](repeating: 7, count: 16 * size)
        set.table.interleave(&panel, x, groups, 3, rows)
        for row in 0..<16 {
            for c in 0..<size { #expect(panel[c * 16 + row] == (row < rows ? x[(3 + row) * size + c] : 0)) }
        }
        var back = [Float](repeating: 7, count: x.count)
        set.table.deinterleave(&back, panel, nil, groups, 3, rows)
        #expect(back.indices.allSatisfy { back[$0] == ((3..<3 + rows).contains($0 / size) ? x[$0] : 7) })
        set.table.deinterleave(&back, panel, [Float](repeating: 4, count: 16), groups, 3, rows)
        #expect((3 * size..<(3 + rows) * size).allSatisfy { back[$0] == x[$0] / 4 })
        var transposed = [Float](repeating: 7, count: 21 * size)
        set.table.transpose(&transposed, 21, x, size, shape.rows, size)
        for c in 0..<size {
            for r in 0..<21 { #expect(transposed[c * 21 + r] == (r < shape.rows ? x[r * size + c] : 7)) }
        }
    }

    @Test(arguments: KernelSet.available, [1, 4, 15, 16, 33, 128])
    func rotatesPairs(set: KernelSet, half: Int) {
        var numbers = SeededNumbers(seed: 3)
        let x = numbers.floats(2 * half)
        let angles = numbers.floats(half, in: -3...3)
        var out = x
        set.table.rotate(&out, angles.map { cos($0) }, angles.map { sin($0) }, half)
        let expected = (0..<2 * half).map { i in
            let (k, other) = (i % half, (i + half) % (2 * half))
            return x[i] * cos(angles[k]) + (i < half ? -1 : 1) * x[other] * sin(angles[k])
        }
        expectClose(out, expected, absolute: 3 * eps)  // two products of magnitude at most 1, one sum
    }

    @Test(arguments: KernelSet.available)
    func widensEveryValue(set: KernelSet) {
        let all = (0...UInt16.max).map { $0 }
        var out = [Float](repeating: 0, count: all.count)
        set.table.widen_bf16(&out, all, all.count)
        expectClose(out, all.map { Float(bitPattern: UInt32($0) << 16) })
        set.table.widen_f16(&out, all, all.count)
        expectClose(out, all.map(float16))
    }

    /// Every 30,011th float, and every f16 with its neighbors halfway to the next.
    @Test(arguments: KernelSet.available)
    func narrowsToTheNearest(set: KernelSet) {
        var x = stride(from: UInt32(0), to: .max - 30_011, by: 30_011).map { Float(bitPattern: $0) }
        for bits in UInt16(0)..<0x7C00 {
            let (low, high) = (Float(Float16(bitPattern: bits)), Float(Float16(bitPattern: bits + 1)))
            let middle = high.isFinite ? (low + high) / 2 : 65520
            x += [low, -low, middle, -middle, middle.nextUp, middle.nextDown]
        }
        var out = [UInt16](repeating: 0, count: x.count)
        set.table.narrow_f16(&out, x, x.count)
        let wrong = zip(x, out).first { value, bits in
            value.isNaN ? !Float16(bitPattern: bits).isNaN : bits != Float16(value).bitPattern
        }
        #expect(wrong == nil, "\(wrong!)")
    }

    @Test(arguments: KernelSet.available, [(1, 1), (3, 5), (17, 64), (16, 129), (40, 33)])
    func weighsRows(set: KernelSet, shape: (count: Int, columns: Int)) {
        var numbers = SeededNumbers(seed: 4)
        let (count, columns, stride) = (shape.count, shape.columns, shape.columns + 2)
        let weights = numbers.floats(count)
        let rows = numbers.floats(count * stride)
        let before = numbers.floats(columns + 3)
        var out = before
        set.table.weighted_rows(&out, weights, rows, stride, count, columns)
        #expect(out[columns...] == before[columns...])
        for c in 0..<columns {
            let terms = (0..<count).map { Double(weights[$0]) * Double(rows[$0 * stride + c]) }
            let start = Double(before[c])
            let error = abs(Double(out[c]) - terms.reduce(start, +))
            #expect(error <= Double(count + 2) * Double(eps) * terms.reduce(abs(start)) { $0 + abs($1) })
        }
    }

    private func geluExactly(_ z: Double) -> Double {
        z / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (z + 0.044715 * z * z * z)))
    }

    /// IEEE 754 binary16, computed from its definition (x86-64 has no `Float16` in Swift 6.3 on all systems).
    private func float16(_ bits: UInt16) -> Float {
        let (exponent, fraction) = (Int(bits >> 10 & 31), Float(bits & 1023))
        let sign: Float = bits & 0x8000 == 0 ? 1 : -1
        if exponent == 31 { return fraction == 0 ? sign * .infinity : .nan }
        return sign
            * (exponent == 0
                ? Float(sign: .plus, exponent: -24, significand: fraction)
                : Float(sign: .plus, exponent: exponent - 25, significand: fraction + 1024))
    }

    /// Within `count` ulp of `exact`, or within `floor`, which no result below f32's normal range can miss.
    private func expectUlps(
        _ found: [Float], _ exact: [Double], _ count: Double, floor: Double = 0x1p-148,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let worst = zip(found, exact).map { value, exact in
            if abs(exact) > Double(Float.greatestFiniteMagnitude) { return value.isInfinite ? 0 : Double.infinity }
            return abs(Double(value) - exact) / max(floor, count * Double(Float(exact).ulp))
        }.max()!
        #expect(worst <= 1, sourceLocation: sourceLocation)
    }
}
