import Foundation
import TestSupport
import Testing

@testable import Tensors

/// Against the Python package gguf, byte for byte, and llama.cpp's error; see `Goldens/blocks/make_quantized.py`.
@Suite struct BlockQuantizerTests {
    struct Golden: Decodable, Sendable {
        let hash, first: String?
        let rms: Double?
    }

    static let goldens: [ElementType: Golden] = {
        let file = Goldens.folder.appending(path: "blocks/quantized.json")
        let decoded = try? JSONDecoder().decode([String: Golden].self, from: Data(contentsOf: file))
        return Dictionary(
            uniqueKeysWithValues: (decoded ?? [:]).map { name, golden in
                (ElementType.allCases.first { "\($0)".uppercased() == name }!, golden)
            })
    }()

    private static let numbers: [Float] = {
        var state: UInt64 = 1
        return (0..<256 * 64).map { index in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let unit = Double(state >> 40) / 0x1p24 - 0.5
            return Float(unit * pow(2, Double(index / 256 % 5)) * (index % 37 == 0 ? 8 : 1))
        }
    }()

    private static let threads = ThreadPool(count: 2)

    private static func decoded(_ bytes: [UInt8], _ type: ElementType) -> [Float] {
        Tensor(blocks: bytes, type, rows: 1, on: Device(threadCount: 1)).toArray()
    }

    @Test func everyTypeHasAGolden() {
        #expect(Set(Self.goldens.keys) == Set(BlockQuantizer.types))
    }

    @Test(arguments: [ElementType.q8_0, .q4_0, .q4_1, .q5_0, .q5_1])
    func bytesAreThoseOfGGUF(type: ElementType) throws {
        let golden = try #require(Self.goldens[type])
        let bytes = BlockQuantizer.encode(Self.numbers, as: type, on: Self.threads)
        #expect(bytes.prefix(36).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == golden.first)
        let hash = bytes.reduce(UInt64(0xCBF2_9CE4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        let digits = String(hash, radix: 16)
        #expect(String(repeating: "0", count: 16 - digits.count) + digits == golden.hash)
    }

    /// Multiples of one step per block, the result of q4_0 training stored in bf16, are recovered exactly, whichever of
    /// them a block holds; a scale of an eighth of the largest value would lose most blocks without a -8.
    @Test func keepsWhatWasTrainedForQ4_0() {
        var random = SeededNumbers(seed: 12)
        let values = (0..<200).flatMap { block in
            let scale = Float(Float16(Float.random(in: 0.001...0.1, using: &random)))
            let most = 1 + block % 8
            return (0..<32).map { _ in
                let multiple = Float(Int.random(in: -most...min(most, 7), using: &random))
                return Float(bitPattern: UInt32(BlockQuantizer.bfloat16(multiple * scale)) << 16)
            }
        }
        let bytes = BlockQuantizer.encode(values, as: .q4_0, on: Self.threads)
        let decoded = Self.decoded(bytes, .q4_0)
        #expect(zip(decoded, values).allSatisfy { BlockQuantizer.bfloat16($0) == BlockQuantizer.bfloat16($1) })
        #expect(BlockQuantizer.blocksOnGrid(values) == 200)
        #expect(BlockQuantizer.blocksOnGrid(Self.numbers) == 0)
    }

    /// The error is at most 2 % above llama.cpp's.
    @Test(arguments: [ElementType.q2_K, .q3_K, .q4_K, .q5_K, .q6_K, .iq4_nl, .iq4_xs, .mxfp4])
    func errorIsThatOfLlamaCpp(type: ElementType) throws {
        let bytes = BlockQuantizer.encode(Self.numbers, as: type, on: Self.threads)
        let squares = zip(Self.decoded(bytes, type), Self.numbers).reduce(0) { $0 + pow(Double($1.0 - $1.1), 2) }
        let rms = (squares / Double(Self.numbers.count)).squareRoot()
        #expect(rms <= 1.02 * (try #require(Self.goldens[type]?.rms)), "\(rms)")
    }

    /// Zeros, a single value, values of one sign, and values at the ends of f16's range.
    @Test(arguments: BlockQuantizer.types)
    func oddBlocks(type: ElementType) {
        let length = type.blockLength
        for pattern in [[0], [-1], [1], [-3, -1, -2], [0x1p-130, -0x1p-140], [3e4, -2e4], [0, 0, 0, 0.05]] as [[Float]]
        {
            let x = (0..<length).map { pattern[$0 % pattern.count] }
            let found = Self.decoded(BlockQuantizer.encode(x, as: type, on: Self.threads), type)
            let range = (x.max()! - min(0, x.min()!)) + x.map(abs).max()!
            // Half a step, the loss of quantized scales, and f16's own for scales in its subnormal range.
            let steps: Float = type == .q2_K ? 3 : type == .q3_K || type == .mxfp4 ? 7 : 15
            for (a, b) in zip(found, x) { #expect(abs(a - b) <= range / steps + 0x1p-20, "\(pattern): \(a), \(b)") }
        }
    }

    @Test func floatsAreRoundedToEven() {
        let values: [Float] = [1, 1 + 0x1p-8, 1 + 0x1p-7 + 0x1p-8, -0.1, 65_504]
        func halves(_ type: ElementType) -> [UInt16] {
            let bytes = BlockQuantizer.encode(values, as: type, on: Self.threads)
            return stride(from: 0, to: bytes.count, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
        }
        #expect(halves(.bfloat16) == [0x3F80, 0x3F80, 0x3F82, 0xBDCD, 0x4780])
        #expect(halves(.float16) == values.map { Float16($0).bitPattern })
    }
}
