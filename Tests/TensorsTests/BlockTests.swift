import Foundation
import TestSupport
import Testing

@testable import Tensors

/// The quantized types of GGUF against the Python package gguf, bit for bit.
@Suite struct BlockTests {
    /// One entry of `Goldens/blocks/blocks.json`; see `make_blocks.py` there.
    struct Golden: Decodable, Sendable, CustomTestStringConvertible {
        let type, blocks, hash: String
        let first: [Float]

        var testDescription: String { type }
        var elementType: ElementType { ElementType.allCases.first { "\($0)".uppercased() == type.uppercased() }! }
        var bytes: [UInt8] {
            let digits = Array(blocks.utf8.map { UInt8($0 < 58 ? $0 - 48 : $0 - 87) })
            return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
        }
    }

    static let goldens: [Golden] = {
        let file = Goldens.folder.appending(path: "blocks/blocks.json")
        return (try? JSONDecoder().decode([Golden].self, from: Data(contentsOf: file))) ?? []
    }()

    @Test func everyTypeHasAGolden() {
        #expect(
            Set(Self.goldens.map(\.elementType))
                == Set(ElementType.allCases.filter { $0.blockLength > 1 && !$0.isInteger }))
    }

    @Test(arguments: KernelSet.available, goldens)
    func decodesToTheSameBits(set: KernelSet, golden: Golden) {
        let tensor = Tensor(blocks: golden.bytes, golden.elementType, rows: 2, on: Device(threadCount: 1, kernels: set))
        let values = tensor.toArray()
        #expect(values.count == 2 * golden.elementType.blockLength)
        #expect(Array(values.prefix(8)) == golden.first)
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in values.flatMap({ withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }) {
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        #expect(String(hash, radix: 16) == String(golden.hash.drop { $0 == "0" }))
    }

    /// The exponents at the ends of mxfp4's scale, and the one that is NaN; packed as well.
    @Test(arguments: KernelSet.available)
    func endsOfMXFP4(set: KernelSet) {
        let device = Device(threadCount: 1, kernels: set)
        let exponents: [UInt8] = [0, 1, 2, 127, 240, 255]
        let bytes = exponents.flatMap { [$0] + [UInt8](repeating: 0x72, count: 16) }  // 2 and 12 halves
        let weight = Tensor(blocks: bytes, .mxfp4, rows: exponents.count, on: device)
        let values = weight.toArray()
        let product = Tensor([Float](repeating: 1, count: 32), [1, 32], on: device)
            .product(Weight(weight, activations: .int8)).toArray()
        for (row, exponent) in exponents.enumerated() {
            let unit = exponent == 255 ? Float.nan : Float(sign: .plus, exponent: Int(exponent) - 127, significand: 1)
            #expect(values[32 * row].isNaN == unit.isNaN && product[row].isNaN == unit.isNaN)
            guard exponent != 255 else { continue }
            #expect(values[32 * row] == unit && values[32 * row + 16] == 6 * unit)
            #expect(abs(product[row] / unit - 112) < 1e-3, "\(product[row])")
        }
    }

    @Test(arguments: goldens)
    func gathersRowsAndPartsOfRows(golden: Golden) {
        let device = Device(threadCount: 1)
        let length = golden.elementType.blockLength
        let tensor = Tensor(blocks: golden.bytes + golden.bytes, golden.elementType, rows: 2, on: device)
        let values = tensor.toArray()
        #expect(tensor.gathered([1, 0, 1]).toArray() == Array(values[2 * length..<4 * length] + values))
        let columns = length - 5..<length + 3
        #expect(tensor.gathered([1], columns: columns).toArray() == columns.map { values[2 * length + $0] })
        #expect(tensor[1..<2].toArray() == Array(values[(2 * length)...]))
    }

    /// A product with quantized blocks equals the product with the dequantized values: the same sums in the same order.
    @Test(arguments: KernelSet.available, goldens)
    func multipliesByItsValues(set: KernelSet, golden: Golden) {
        let device = Device(threadCount: 2, kernels: set)
        let bytes = (0..<70).flatMap { row in golden.bytes.map { $0 } + (row % 2 == 0 ? golden.bytes : []) }
        let rows = bytes.count / golden.bytes.count
        let weight = Tensor(blocks: bytes, golden.elementType, rows: rows, on: device)
        let wide = weight.widened()
        for tokens in [1, 3, 16, 17, 140] {
            var numbers = SeededNumbers(seed: UInt64(tokens))
            let x = Tensor(numbers.floats(tokens * weight.columns), [tokens, weight.columns], on: device)
            #expect(x.product(weight).toArray() == x.product(wide).toArray(), "\(tokens) tokens")
        }
    }
}

extension Tensor {
    /// A weight of `rows` rows whose blocks are `bytes`.
    init(blocks bytes: [UInt8], _ type: ElementType, rows: Int, on device: Device) {
        let owner = Bytes(bytes)
        let count = bytes.count / type.blockByteCount * type.blockLength
        self.init(mapped: owner.buffer, owner: owner, [rows, count / rows], type, on: device)
    }
}

private final class Bytes: @unchecked Sendable {  // never written again
    let buffer: UnsafeRawBufferPointer

    init(_ bytes: [UInt8]) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        memory.copyBytes(from: bytes)
        buffer = UnsafeRawBufferPointer(memory)
    }

    deinit { buffer.deallocate() }
}
