import Foundation
import Tensors
import TestSupport
import Testing

@testable import Weights

/// Integer tensors of a directory, interpreted by its configuration.
@Suite struct QuantizedTensorsTests {
    private let device = Device(threadCount: 2)
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// The result of compressed-tensors 0.20.1, `pack_to_int32`, for `numbers`, [2, 64].
    private static let packed: [Int32] = [
        1_351_104_906, 1_520_024_125, -404_995_993, -232_349_272, 512_074_524, -1_199_654_739, 507_842_481, 108_809_973,
        -2_007_022_960, 1_360_129_367, -1_286_817_163, -1_306_525_456, -790_241_529, 1_277_346_113, 111_873_162,
        2_021_740_980,
    ]
    private static let numbers: [Float] = [
        2, 0, 1, -5, 0, 0, -8, -3, 5, -5, 2, 3, 1, 1, 2, -3, -1, -2, -8, -4, 4, 5, -1, 6, 0, 2, -7, 2, -2, -6, -6, 7, 4,
        -7, -5, 2, -3, 0, 6, -7, 5, 2, 0, 3, 6, -1, 0, 3, -7, 3, 7, -8, -3, -4, 6, -7, -3, 7, 6, -4, 4, -1, -2, -8, -8,
        1,
        -6, -4, 7, -3, 0, 0, -1, -3, 5, 6, -7, -7, -7, -3, -3, -1, 2, 3, 4, -4, -5, 3, -8, 7, -8, -8, -8, -6, -6, 3, -1,
        -8, 7, 5, -3, 6, -8, 5, -7, -4, -7, 4, -6, -6, 4, -4, 2, 0, 4, -8, 3, 2, -2, -8, -4, 3, -7, -3, -7, 0, 0, -1,
    ]

    private func write(_ tensors: [(name: String, dtype: String, shape: [Int], bytes: [UInt8])]) throws {
        var offset = 0
        let entries = tensors.map { tensor in
            defer { offset += tensor.bytes.count }
            return "\"\(tensor.name)\": {\"dtype\": \"\(tensor.dtype)\", \"shape\": \(tensor.shape), "
                + "\"data_offsets\": [\(offset), \(offset + tensor.bytes.count)]}"
        }
        let file = safetensorsFile(header: "{\(entries.joined(separator: ", "))}", data: tensors.flatMap(\.bytes))
        try directory.write(file, to: "model.safetensors")
    }

    private func bytes<Number>(_ numbers: [Number]) -> [UInt8] { numbers.withUnsafeBytes(Array.init) }

    private func bf16(_ values: [Float]) -> [UInt8] { bytes(values.map { UInt16($0.bitPattern >> 16) }) }

    private func checkpoint(_ quantized: QuantizedTensors?) throws -> Checkpoint {
        try Checkpoint(directory.path, quantized: quantized) { $0 }
    }

    /// Groups of 32 are converted to q4_0 exactly.
    @Test func packedGroupsAreTheirNumbers() throws {
        let scales: [Float] = [0.5, 0.0078125, -1.5, 0x1.5p-9]
        try write([
            ("m.weight_packed", "I32", [2, 8], bytes(Self.packed)), ("m.weight_scale", "BF16", [2, 2], bf16(scales)),
            ("m.weight_shape", "I64", [2], bytes([Int64(2), 64])), ("n.weight", "BF16", [1, 1], bf16([3])),
        ])
        let checkpoint = try checkpoint(.packedGroups)
        #expect(Set(checkpoint.entries.keys) == ["m.weight", "n.weight"])
        let scope = WeightScope(checkpoint, on: device)["m"].multiplied(by: .int8)
        let tensor = try scope.tensor("weight", [2, 64])
        #expect(tensor.elementType == .q4_0)
        #expect(tensor.toArray() == Self.numbers.enumerated().map { $1 * scales[$0 / 32] })
        #expect(try scope.weight("weight", [2, 64]).isPacked)
        #expect(checkpoint.firstNotFinite() == nil)
    }

    @Test(
        arguments: [
            (
                "expected weight_scale, [2, 2], beside it, found none.",
                [("m.weight_packed", "I32", [2, 8], 64)]
            ),
            (
                "expected weight_scale, [2, 2], beside it, found BF16 [2, 1].",
                [("m.weight_packed", "I32", [2, 8], 64), ("m.weight_scale", "BF16", [2, 1], 4)]
            ),
            ("expected a matrix of I32, found U8 [2, 8].", [("m.weight_packed", "U8", [2, 8], 16)]),
            ("expected rows of whole groups of 32 numbers, found 8 numbers.", [("m.weight_packed", "I32", [2, 1], 8)]),
            ("expected dtype BF16, F16 or F32, found \"I64\".", [("m.weight", "I64", [2, 1], 16)]),
        ] as [(String, [(String, String, [Int], Int)])])
    func refusesOtherGroups(message: String, tensors: [(String, String, [Int], Int)]) throws {
        try write(tensors.map { ($0.0, $0.1, $0.2, [UInt8](repeating: 0, count: $0.3)) })
        let error = #expect(throws: CheckpointError.self) { try checkpoint(.packedGroups) }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }

    @Test func refusesScalesThatF16DoesNotHold() throws {
        try write([
            ("m.weight_packed", "I32", [1, 4], [UInt8](repeating: 0, count: 16)),
            ("m.weight_scale", "BF16", [1, 1], bf16([1e-30])),
        ])
        let error = #expect(throws: CheckpointError.self) {
            try WeightScope(checkpoint(.packedGroups), on: device).tensor("m.weight", [1, 32])
        }
        #expect(error?.description.contains("expected scales that f16 holds") == true)
    }

    /// The widths are the configuration's, and must match the type in the file.
    @Test(
        arguments: [
            (2, "U8", [3, 8], nil), (4, "U8", [3, 16], nil), (8, "I8", [3, 32], nil),
            (8, "U8", [3, 32], "expected a matrix of I8, as config.json has 8 bits for it, found U8 [3, 32]"),
            (4, "I8", [3, 16], "expected a matrix of U8, as config.json has 4 bits for it, found I8 [3, 16]"),
            (4, "U8", [3, 1, 16], "found U8 [3, 1, 16]"),
            (2, "U8", [3, 9], "expected rows of a multiple of 32 numbers, found 36"),
        ] as [(Int, String, [Int], String?)])
    func integersHaveTheirWidth(bits: Int, dtype: String, shape: [Int], message: String?) throws {
        let count = shape.reduce(1, *)
        try write([("m.weight", dtype, shape, [UInt8](repeating: 0, count: count))])
        guard let message else {
            let entry = try checkpoint(.integers { _ in bits }).entries["m.weight"]
            #expect(entry?.shape == [3, 32] && entry?.elementType == .integers(bits: bits))
            return
        }
        let error = #expect(throws: CheckpointError.self) { try checkpoint(.integers { _ in bits }) }
        #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
    }

    @Test func integersWithoutAConfigurationAreRefused() throws {
        try write([("m.weight", "U8", [1, 8], [UInt8](repeating: 0, count: 8))])
        let error = #expect(throws: CheckpointError.self) { try checkpoint(nil) }
        #expect(error?.description.contains("m.weight: expected dtype BF16, F16 or F32, found \"U8\"") == true)
    }
}
