import CKernels
import Foundation
import TestSupport
import Testing

@testable import Tensors

private let eps = 0x1p-24

/// Packed weights and 8-bit activations, every set against the definition.
@Suite struct WeightTests {
    // MARK: Activations

    @Test(arguments: KernelSet.available)
    func roundsActivations(set: KernelSet) {
        var numbers = SeededNumbers(seed: 3)
        var x = numbers.floats(7 * 32)
        for index in 32..<64 { x[index] *= 1e30 }
        for index in 64..<96 { x[index] = 0 }
        for index in 96..<128 { x[index] *= 0x1p-130 }
        let (values, scales, sums, minusSums) = set.quantized(x)
        for index in x.indices where scales[index / 32] != 0 {
            let scale = Double(scales[index / 32])
            let error = abs(Double(x[index]) - Double(values[index]) * scale)
            #expect(error <= scale * (0.5 + 0x1p-15), "\(index)")
        }
        for block in 0..<7 where block != 2 && block != 3 {
            #expect(values[block * 32..<block * 32 + 32].map { abs(Int($0)) }.max() == 127)
        }
        #expect(scales[2...3].allSatisfy { $0 == 0 } && values[64..<128].allSatisfy { $0 == 0 })
        for block in scales.indices {
            for (part, range) in [0..<16, 16..<32, 0..<32].enumerated() {
                let sum = range.reduce(0) { $0 + Int(values[block * 32 + $1]) }
                #expect(Int(sums[block * 3 + part]) == -128 * sum)
                if range.count == 32 { #expect(minusSums[block] == scales[block] * Float(-sum)) }
            }
        }
    }

    @Test(arguments: KernelSet.available)
    func numbersThatAreNoneStayVisible(set: KernelSet) {
        for bad in [Float.nan, .infinity, -.infinity] {
            var x = [Float](repeating: 0.5, count: 64)
            x[37] = bad
            let scales = set.quantized(x).scales
            #expect(scales[0] == 0.5 / 127 && scales[1].isNaN)
        }
    }

    // MARK: Products

    /// Rows and tokens that leave partial groups; compared with exact sums of the same quantized activations.
    @Test(arguments: KernelSet.available, BlockTests.goldens)
    func multiplies(set: KernelSet, golden: BlockTests.Golden) {
        let device = Device(threadCount: 2, kernels: set)
        for (rows, tokens) in [(1, 1), (16, 3), (17, 8), (70, 9), (35, 21)] {
            let plain = Self.weight(golden, rows: rows, on: device)
            let weight = Weight(plain, activations: .int8)
            #expect(
                weight.isPacked && weight.rows == rows
                    && weight.byteCount == Self.packedBytes(plain.elementType, plain.shape.count))
            let columns = plain.columns
            var numbers = SeededNumbers(seed: UInt64(rows))
            let x = numbers.floats(tokens * columns)
            let found = Tensor(x, [tokens, columns], on: device).product(weight).toArray()
            let (values, scales, _, _) = set.quantized(x)
            let numbersOfWeight = plain.toArray().map(Double.init)
            let magnitudes = Self.magnitudes(golden, rows: rows, on: device)
            for token in 0..<tokens {
                for row in 0..<rows {
                    var (sum, magnitude) = (0.0, 0.0)
                    for column in 0..<columns {
                        let activation =
                            Double(values[token * columns + column]) * Double(scales[(token * columns + column) / 32])
                        sum += numbersOfWeight[row * columns + column] * activation
                        magnitude += magnitudes[row * columns + column] * abs(activation)
                    }
                    // Twice the bound of the header: the definition has the same error.
                    let bound = 2 * Double(columns / 8 + 8) * eps * magnitude
                    #expect(
                        abs(Double(found[token * rows + row]) - sum) <= bound, "\(rows) × \(tokens): \(row), \(token)")
                }
            }
        }
    }

    /// A token's result is the same alone as among others, and for any number of threads; the rows are longer than what
    /// is unpacked at once, and no multiple of it.
    @Test(arguments: KernelSet.available, BlockTests.goldens)
    func dependsOnItsOwnTokenAlone(set: KernelSet, golden: BlockTests.Golden) {
        let rows = 40
        var numbers = SeededNumbers(seed: 5)
        let blocks = 4608 / golden.elementType.blockLength
        let columns = blocks * golden.elementType.blockLength
        let x = numbers.floats(21 * columns)
        func product(_ tokens: Range<Int>, threads: Int) -> [Float] {
            let device = Device(threadCount: threads, kernels: set)
            let weight = Weight(Self.weight(golden, rows: rows, blocks: blocks, on: device), activations: .int8)
            let some = Array(x[tokens.lowerBound * columns..<tokens.upperBound * columns])
            return Tensor(some, [tokens.count, columns], on: device).product(weight).toArray()
        }
        let expected = product(0..<21, threads: 1)
        #expect(product(0..<21, threads: 3) == expected)
        for token in [0, 7, 8, 20] {
            #expect(product(token..<token + 1, threads: 2) == Array(expected[token * rows..<(token + 1) * rows]))
        }
        for end in 5...14 {
            #expect(product(3..<end, threads: 2) == Array(expected[3 * rows..<end * rows]), "\(end - 3) tokens")
        }
    }

    /// Several tensors at once, with packed weights and others: each result is the one that its pair has alone.
    @Test func multipliesSeveralAtOnce() {
        let device = Device(threadCount: 2)
        var numbers = SeededNumbers(seed: 9)
        func weight(_ rows: Int, _ columns: Int, _ type: ElementType?) -> Weight {
            Weight(
                Tensor(numbers.floats(rows * columns), [rows, columns], on: device), activations: .int8, roundedTo: type
            )
        }
        let operands: [(x: Tensor, weights: [Weight])] = [
            (Tensor(numbers.floats(3 * 64), [3, 64], on: device), [weight(50, 64, .q4_0), weight(7, 64, nil)]),
            (Tensor(numbers.floats(256), [1, 256], on: device), [weight(33, 256, .q6_K), weight(1, 256, .q8_0)]),
            (Tensor(numbers.floats(2 * 10), [2, 10], on: device), [weight(5, 10, nil)]),
        ]
        let found = Tensor.products(operands)
        for ((x, weights), results) in zip(operands, found) {
            #expect(results.map { $0.toArray() } == weights.map { x.product($0).toArray() })
        }
    }

    /// GELU(gate) ⊙ up is bit-identical whether or not the products are fused in pieces that stay in the cache.
    @Test func multipliesGatesAtOnce() {
        var numbers = SeededNumbers(seed: 31)
        let device = Device(threadCount: 3)
        let operands = [(1, 40), (130, 40), (7, 1000)].flatMap { tokens, rows in
            [ElementType.q4_0, .q8_0, nil].map { type in
                func weight() -> Weight {
                    Weight(
                        Tensor(numbers.floats(rows * 96), [rows, 96], on: device), activations: .int8, roundedTo: type)
                }
                return (x: Tensor(numbers.floats(tokens * 96), [tokens, 96], on: device), gate: weight(), up: weight())
            }
        }
        for some in [operands, operands.filter(\.gate.isPacked), [operands[0]], [operands[3]]] {
            for (found, (x, gate, up)) in zip(Tensor.gatedProducts(some), some) {
                #expect(found.toArray() == x.product(gate).geluMultiplied(by: x.product(up)).toArray())
            }
        }
    }

    /// Packed weights start at separate cache lines, also across slabs.
    @Test func weightsShareMemory() {
        let memory = PackedMemory()
        let taken = [1, 63, 4096, 300 << 20, 200 << 20, 100 << 20, 5].map { memory.take($0) }
        let ranges = taken.map { UInt(bitPattern: $0.start)..<UInt(bitPattern: $0.start) + UInt($0.byteCount) }
        for (index, range) in ranges.enumerated() {
            #expect(range.lowerBound % 64 == 0)
            #expect(ranges[..<index].allSatisfy { !$0.overlaps(range) })
        }
        #expect(taken[0].owner === taken[2].owner && taken[2].owner !== taken[3].owner)
    }

    /// Weights that cannot or must not be packed are multiplied as tensors.
    @Test(arguments: BlockTests.goldens)
    func leavesOthersAsTheyAre(golden: BlockTests.Golden) {
        let device = Device(threadCount: 1)
        let plain = Self.weight(golden, rows: 5, on: device)
        var numbers = SeededNumbers(seed: 6)
        let x = Tensor(numbers.floats(2 * plain.columns), [2, plain.columns], on: device)
        let weight = Weight(plain, activations: .float32)
        #expect(!weight.isPacked && x.product(weight).toArray() == x.product(plain).toArray())
        #expect(Weight(plain, activations: .int8).isPacked)
    }

    // MARK: Rounding

    /// A weight quantized at load time equals one loaded from its quantized bytes: packed or not, of any type.
    @Test(arguments: BlockQuantizer.types, [Activations.int8, .float32])
    func roundsAsItIsRead(type: ElementType, activations: Activations) {
        let device = Device(threadCount: 2)
        let (rows, columns) = (37, 512)
        var numbers = SeededNumbers(seed: 8)
        let values = numbers.floats(rows * columns)
        let x = Tensor(numbers.floats(3 * columns), [3, columns], on: device)
        let rounded = Weight(Tensor(values, [rows, columns], on: device), activations: activations, roundedTo: type)
        let bytes = BlockQuantizer.encode(values, as: type, on: device.threads)
        let stored = Weight(Tensor(blocks: bytes, type, rows: rows, on: device), activations: activations)
        #expect(rounded.elementType == type && rounded.byteCount == bytes.count && rounded.isCopied)
        #expect(rounded.isPacked == (activations == .int8))
        #expect(x.product(rounded).toArray() == x.product(stored).toArray())
    }

    @Test func rowsThatFillNoBlocksStay() {
        let device = Device(threadCount: 1)
        let weight = Weight(Tensor(zeros: [4, 48], on: device), activations: .int8, roundedTo: .q8_0)
        #expect(weight.elementType == .float32 && !weight.isCopied)
    }

    /// Quantizing keeps non-finite values: their block becomes NaN.
    @Test(arguments: BlockQuantizer.types, [Float.nan, .infinity])
    func roundingKeepsNumbersThatAreNone(type: ElementType, bad: Float) {
        let device = Device(threadCount: 1)
        var values = [Float](repeating: 0.5, count: 2 * 512)
        values[300] = bad
        let weight = Weight(Tensor(values, [2, 512], on: device), activations: .int8, roundedTo: type)
        let x = Tensor([Float](repeating: 1, count: 512), [1, 512], on: device)
        let product = x.product(weight).toArray()
        #expect(product[0].isNaN && product[1].isFinite)
    }

    // MARK: Weights

    /// Rows of `blocks` blocks, each row begun elsewhere in the golden.
    private static func bytes(_ golden: BlockTests.Golden, rows: Int, blocks count: Int = 2) -> [UInt8] {
        let size = golden.elementType.blockByteCount
        let blocks = stride(from: 0, to: golden.bytes.count, by: size).map { Array(golden.bytes[$0..<$0 + size]) }
        return (0..<rows).flatMap { row in (0..<count).flatMap { blocks[(row / (1 + $0) + $0) % blocks.count] } }
    }

    private static func weight(_ golden: BlockTests.Golden, rows: Int, blocks: Int = 2, on device: Device) -> Tensor {
        Tensor(blocks: bytes(golden, rows: rows, blocks: blocks), golden.elementType, rows: rows, on: device)
    }

    /// As in the file, but for the types of grids: 3 or 4 bits for a weight, 4 for a scale, 16 for a block.
    private static func packedBytes(_ type: ElementType, _ count: Int) -> Int {
        switch type {
        case .iq2_xxs: count / 256 * 102
        case .iq2_xs, .iq2_s: count / 256 * 106
        case .iq3_xxs, .iq3_s: count / 256 * 134
        default: type.byteCount(count)
        }
    }

    /// Magnitudes of the two terms of a weight: with one of the block's scales, and with the other.
    private static func magnitudes(_ golden: BlockTests.Golden, rows: Int, on device: Device) -> [Double] {
        let type = golden.elementType
        guard type.scaleOffsets.count > 1 else {
            return weight(golden, rows: rows, on: device).toArray().map { abs(Double($0)) }
        }
        let parts = type.scaleOffsets.map { kept in
            var bytes = bytes(golden, rows: rows)
            for block in stride(from: 0, to: bytes.count, by: type.blockByteCount) {
                for offset in type.scaleOffsets where offset != kept {
                    (bytes[block + offset], bytes[block + offset + 1]) = (0, 0)
                }
            }
            return Tensor(blocks: bytes, type, rows: rows, on: device).toArray().map { abs(Double($0)) }
        }
        return parts[0].indices.map { index in parts.reduce(0) { $0 + $1[index] } }
    }
}

extension KernelSet {
    fileprivate func quantized(_ x: [Float]) -> (values: [Int8], scales: [Float], sums: [Int32], minusSums: [Float]) {
        var blocks = [quantized_block](repeating: quantized_block(), count: x.count / 32)
        table.quantize(&blocks, x, x.count)
        let values = blocks.flatMap { block in withUnsafeBytes(of: block.values) { Array($0.bindMemory(to: Int8.self)) }
        }
        let sums = blocks.flatMap { [$0.minus_128_sums.0, $0.minus_128_sums.1, $0.minus_128_sums.2] }
        return (values, blocks.map(\.scale), sums, blocks.map(\.minus_sum))
    }
}
