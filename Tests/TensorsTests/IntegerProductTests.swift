import CKernels
import Foundation
import TestSupport
import Testing

@testable import Tensors

/// 2-, 4- and 8-bit weights with one scale per row, and quantized activations: integer sums are equal in every kernel
/// set.
@Suite struct IntegerProductTests {
    private static let types: [ElementType] = [.int2, .int4, .int8]
    /// Rows, columns and tokens: odd rows, more columns than are unpacked at once, few tokens and many.
    private static let shapes: [(rows: Int, columns: Int, tokens: Int)] = [
        (1, 32, 1), (17, 96, 2), (40, 1536, 4), (70, 2080, 9), (33, 4128, 21), (48, 1056, 40), (16, 2048, 37),
    ]

    private static func bits(_ type: ElementType) -> Int { type.blockByteCount / 4 }

    /// The stored bytes of random integers, lowest and highest among them.
    private static func weight(_ type: ElementType, _ rows: Int, _ columns: Int, on device: Device) -> Tensor {
        var numbers = SeededNumbers(seed: UInt64(rows + columns))
        let half = Float(1 << (bits(type) - 1))
        let values = numbers.floats(rows * columns, in: -half...half - 1).map { $0.rounded() }
        let bytes = BlockQuantizer.encode(values, as: type, on: device.threads)
        let weight = Tensor(blocks: bytes, type, rows: rows, on: device)
        #expect(weight.toArray() == values)
        return weight
    }

    @Test(arguments: KernelSet.available, types)
    func equalsSumsOfIntegers(set: KernelSet, type: ElementType) {
        let device = Device(threadCount: 2, kernels: set)
        for (rows, columns, tokens) in Self.shapes {
            var numbers = SeededNumbers(seed: 7)
            let step: Float = 0.0125
            var values = numbers.floats(tokens * columns, in: -2...2)
            values[columns / 2] = -1e30
            values[columns / 3] = .infinity
            let x = Tensor(values, [tokens, columns], on: device)
            let rowScales = numbers.floats(rows, in: 0.001...0.1)
            let stored = Self.weight(type, rows, columns, on: device)
            let integers = stored.toArray()
            let rounded = values.map { max(-128, min(127, ($0 / step).rounded(.toNearestOrEven))) }
            for outputStep in [Float(0), 0.37] {
                let scales = IntegerScales(
                    rowScales: Tensor(rowScales, [rows, 1], on: device), inputStep: step, outputStep: outputStep)
                let weight = Weight(stored, scales: scales, activations: .float32)
                #expect(weight.isPacked)
                let found = x.product(weight).toArray()
                for (token, row) in [(0, 0), (tokens - 1, rows - 1), (tokens / 2, rows / 2), (0, rows - 1)] {
                    let sum = (0..<columns).reduce(0) {
                        $0 + Int(integers[row * columns + $1]) * Int(rounded[token * columns + $1])
                    }
                    var y = Float(sum) * (step * rowScales[row])
                    if outputStep > 0 {
                        y = max(-128, min(127, (y / outputStep).rounded(.toNearestOrEven))) * outputStep
                    }
                    #expect(found[token * rows + row] == y, "\(rows) × \(columns) × \(tokens): \(row), \(token)")
                }
                let scalar = Device(threadCount: 1, kernels: KernelSet.available.last!)
                let definition = Tensor(values, [tokens, columns], on: scalar).product(
                    Weight(
                        Self.weight(type, rows, columns, on: scalar),
                        scales: IntegerScales(
                            rowScales: Tensor(rowScales, [rows, 1], on: scalar), inputStep: step,
                            outputStep: outputStep),
                        activations: .float32))
                #expect(found == definition.toArray(), "\(rows) × \(columns) × \(tokens)")
            }
        }
    }

    /// NaN propagates to the results of its token only.
    @Test(arguments: KernelSet.available, types)
    func NaNPropagates(set: KernelSet, type: ElementType) {
        let device = Device(threadCount: 1, kernels: set)
        var values = [Float](repeating: 0.5, count: 3 * 64)
        values[64 + 40] = .nan
        let scales = IntegerScales(
            rowScales: Tensor(Array(repeating: 1, count: 20), [20], on: device), inputStep: 0.1, outputStep: 0.1)
        let weight = Weight(Self.weight(type, 20, 64, on: device), scales: scales, activations: .int8)
        let found = Tensor(values, [3, 64], on: device).product(weight).toArray()
        #expect((found[0..<20] + found[40...]).filter { !$0.isFinite }.isEmpty)
        #expect(found[20..<40].filter { !$0.isNaN }.isEmpty)
    }

    /// GELU(gate) ⊙ up of many tokens, with steps and without, is what its parts are.
    @Test(arguments: KernelSet.available, [Float(0), 0.02])
    func gatedProductsAreProducts(set: KernelSet, step: Float) {
        let device = Device(threadCount: 2, kernels: set)
        var numbers = SeededNumbers(seed: 3)
        let x = Tensor(numbers.floats(19 * 64), [19, 64], on: device)
        let weights = [ElementType.int2, .int4].map { type in
            Weight(
                Self.weight(type, 70, 64, on: device),
                scales: IntegerScales(
                    rowScales: Tensor(numbers.floats(70, in: 0.01...0.1), [70], on: device), inputStep: step,
                    outputStep: 2 * step), activations: .int8)
        }
        let gated = Tensor.gatedProducts([(x, weights[0], weights[1])])[0].toArray()
        let apart = x.products(weights)
        #expect(gated == apart[0].geluMultiplied(by: apart[1]).toArray())
        // Not packed: the same but for the order of f32 sums, and for activations without steps in 8 bits.
        for (weight, product) in zip(weights, apart) {
            let plain = x.rounded(toSteps: step).product(
                Self.weight(weight.elementType, 70, 64, on: device)
            ).multiplying(row: weight.scales!.rowScales).rounded(toSteps: 2 * step)
            expectClose(product.toArray(), plain.toArray(), absolute: step > 0 ? 1e-6 : 0.05)
        }
    }
}
