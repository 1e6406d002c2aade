import TestSupport
import Testing

@testable import Tensors

/// A weight of any element type, made from f32 by cutting bits off, and the exact values it holds.
private struct Weight {
    let tensor: Tensor
    let values: [Float]

    init(_ type: ElementType, rows: Int, columns: Int, on device: Device) {
        var numbers = SeededNumbers(seed: 6)
        let floats = numbers.floats(rows * columns)
        let bytes = Bytes(floats, type)
        tensor = Tensor(mapped: bytes.buffer, owner: bytes, [rows, columns], type, on: device)
        values = tensor.toArray()
    }

    private final class Bytes: @unchecked Sendable {  // never written again
        let buffer: UnsafeRawBufferPointer

        init(_ floats: [Float], _ type: ElementType) {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: type.byteCount(floats.count), alignment: 4)
            for (index, value) in floats.enumerated() {
                let upper = UInt16(value.bitPattern >> 16)
                switch type {
                case .float32: memory.storeBytes(of: value, toByteOffset: index * 4, as: Float.self)
                case .bfloat16: memory.storeBytes(of: upper, toByteOffset: index * 2, as: UInt16.self)
                // Any 16 bits but those of the largest exponent are finite; halving the exponent's range keeps |x| < 2.
                case .float16: memory.storeBytes(of: upper & 0xbfff, toByteOffset: index * 2, as: UInt16.self)
                default: preconditionFailure("blocks are made in BlockTests")
                }
            }
            buffer = UnsafeRawBufferPointer(memory)
        }

        deinit { buffer.deallocate() }
    }
}

@Suite struct ProductTests {
    static let types: [ElementType] = [.float32, .bfloat16, .float16]

    /// Clamping within the product gives the bits of clamping before and after it.
    @Test(arguments: types, [1, 20, 70])
    func clampsOperandAndResult(type: ElementType, tokens: Int) {
        let device = Device(threadCount: 2)
        let weight = Weight(type, rows: 131, columns: 259, on: device)
        var numbers = SeededNumbers(seed: UInt64(tokens))
        let x = Tensor(numbers.floats(tokens * 259), [tokens, 259], on: device)
        let clamps = [Clamp.none, Clamp(-0.5, 0.25)]
        for input in clamps {
            for output in clamps {
                #expect(
                    x.product(weight.tensor, input: input, output: output).toArray()
                        == x.clamped(input).product(weight.tensor).clamped(output).toArray())
            }
        }
        #expect(x.product(weight.tensor, input: .none, output: clamps[1]).toArray().max() == 0.25)
    }

    /// Every type and number of tokens against the definition in f64: few tokens stream the weight, many are
    /// multiplied in panels.
    @Test(arguments: KernelSet.available, types)
    func equalsTheDefinition(set: KernelSet, type: ElementType) {
        let device = Device(threadCount: 2, kernels: set)
        for (rows, columns) in [(1, 1), (5, 3), (7, 17), (34, 100), (131, 259), (97, 513)] {
            let weight = Weight(type, rows: rows, columns: columns, on: device)
            for tokens in [1, 2, 3, 4, 5, 6, 7, 8, 9, 33, 130] {
                var numbers = SeededNumbers(seed: UInt64(tokens))
                let x = numbers.floats(tokens * columns)
                let product = Tensor(x, [tokens, columns], on: device).product(weight.tensor)
                #expect(product.shape == [tokens, rows])
                expectProduct(product.toArray(), weight.values, x, columns)
            }
        }
    }

    /// |error| ≤ (columns + 1) · eps · Σ|w · x|, whatever the order of the sum (Higham, Accuracy and Stability, 3.1).
    private func expectProduct(_ found: [Float], _ weight: [Float], _ x: [Float], _ columns: Int) {
        let rows = weight.count / columns
        var worst = 0.0
        for index in found.indices {
            let (t, r) = index.quotientAndRemainder(dividingBy: rows)
            var (sum, magnitude) = (0.0, 0.0)
            for c in 0..<columns {
                let term = Double(weight[r * columns + c]) * Double(x[t * columns + c])
                sum += term
                magnitude += abs(term)
            }
            worst = max(worst, abs(Double(found[index]) - sum) / (Double(columns + 1) * 0x1p-24 * magnitude + 0x1p-140))
        }
        #expect(worst <= 1)
    }

    /// Bit-identical, because the partition of the work depends on the shapes only.
    @Test(arguments: types, [1, 6, 40, 600])
    func doesNotDependOnTheNumberOfThreads(type: ElementType, tokens: Int) {
        var numbers = SeededNumbers(seed: 7)
        let x = numbers.floats(tokens * 200)
        let products = [1, 2, 3, 7].map { threads in
            let device = Device(threadCount: threads)
            return Tensor(x, [tokens, 200], on: device).product(
                Weight(type, rows: 1300, columns: 200, on: device).tensor
            ).toArray()
        }
        for product in products.dropFirst() { #expect(product == products[0]) }
    }

    /// Bit-identical for any chunking: with more tokens than the few that stream the weight, a row depends only on its
    /// own token.
    @Test(arguments: types)
    func rowsDoNotDependOnTheOtherTokens(type: ElementType) {
        var numbers = SeededNumbers(seed: 8)
        let device = Device(threadCount: 2)
        let x = Tensor(numbers.floats(600 * 700), [600, 700], on: device)
        let weight = Weight(type, rows: 203, columns: 700, on: device).tensor
        let whole = x.product(weight)
        for range in [0..<33, 33..<70, 70..<599, 550..<600] {
            #expect(x[range].product(weight).toArray() == whole[range].toArray())
        }
    }

    @Test func manyThreadsMultiplyAtOnce() {
        let device = Device(threadCount: 1)
        let x = Tensor((0..<300 * 300).map { Float($0 % 17) }, [300, 300], on: device)
        let expected = x.product(x).toArray()
        let pool = ThreadPool(count: 300)
        pool.parallelFor(2000) { _ in
            if x.product(x).toArray() != expected { Issue.record("products differ") }
        }
    }

    @Test(
        arguments: [
            (17, 1, 1), (33, 7, 9), (512, 6144, 1536), (64, 256, 1536), (10_080, 3072, 768), (17, 262_144, 64),
        ], [1, 2, 64])
    func tilesCoverTheProductOnce(shape: (tokens: Int, rows: Int, columns: Int), threads: Int) {
        let weight = Tensor(zeros: [shape.rows, shape.columns], on: Device(threadCount: 1))
        let product = PanelProduct(tokens: shape.tokens, weight, threads: threads)
        let tiles = (0..<product.tileCount).map { product[$0] }
        let panels = (shape.tokens + 15) / 16
        #expect(tiles.reduce(0) { $0 + $1.panels.count * $1.rows.count } == panels * shape.rows)
        #expect(Set(tiles.map { [$0.panels.lowerBound, $0.rows.lowerBound] }).count == tiles.count)
        #expect(
            tiles.allSatisfy {
                !$0.panels.isEmpty && !$0.rows.isEmpty && $0.panels.upperBound <= panels
                    && $0.rows.upperBound <= shape.rows
            })
    }
}
