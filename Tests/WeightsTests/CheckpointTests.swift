import Foundation
import Tensors
import TestSupport
import Testing

@testable import Weights

struct CheckpointTests {
    private let device = Device(threadCount: 1)

    private func bytes(_ values: [Float], _ type: ElementType) -> [UInt8] {
        values.flatMap { value -> [UInt8] in
            switch type {
            case .float32: withUnsafeBytes(of: value, Array.init)
            case .bfloat16: withUnsafeBytes(of: UInt16(value.bitPattern >> 16), Array.init)
            case .float16: withUnsafeBytes(of: halfBits(value), Array.init)
            default: preconditionFailure("safetensors files have no \(type)")
            }
        }
    }

    /// Bits of a value that f16 holds exactly: normal, few digits.
    private func halfBits(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        return UInt16(bits >> 16 & 0x8000) | UInt16((bits >> 23 & 0xFF) - 112) << 10 | UInt16(bits >> 13 & 0x3FF)
    }

    /// Three element types in one file; the padding of the header decides whether its data is aligned.
    @Test(arguments: 0..<4)
    func readsTensorsWhereTheyLie(padding: Int) throws {
        let values: [Float] = [1, -2, 0.5, 4, -0.125, 1.5]
        let header =
            #"{"f": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "b": {"dtype": "BF16", "shape": [6], "data_offsets": [24, 36]}, "#
            + #""h": {"dtype": "F16", "shape": [3, 1, 2], "data_offsets": [36, 48]}}"#
            + String(repeating: " ", count: padding)
        let data = bytes(values, .float32) + bytes(values, .bfloat16) + bytes(values, .float16)
        let directory = try TemporaryDirectory()
        try directory.write(safetensorsFile(header: header, data: data), to: "model.safetensors")

        let weights = WeightScope(try Checkpoint(directory.path), on: device)
        for (name, shape, type) in [
            ("f", [2, 3] as Shape, ElementType.float32), ("b", [6], .bfloat16), ("h", [3, 1, 2], .float16),
        ] {
            let tensor = try weights.tensor(name, shape)
            #expect(tensor.elementType == type)
            #expect(tensor.shape == shape)
            #expect(tensor.toArray() == values)
        }
    }

    /// The tensor keeps the mapping alive.
    @Test func tensorsOutliveTheCheckpoint() throws {
        let directory = try TemporaryDirectory()
        try directory.write(safetensorsFile(zeros: [("a", [3])]), to: "model.safetensors")
        func load() throws -> Tensor { try WeightScope(try Checkpoint(directory.path), on: device).tensor("a", [3]) }
        #expect(try load().toArray() == [0, 0, 0])
    }

    @Test func scopesAreDottedPaths() throws {
        let directory = try TemporaryDirectory()
        try directory.write(safetensorsFile(zeros: [("m.layers.3.q_proj.weight", [2, 4])]), to: "model.safetensors")
        let weights = WeightScope(try Checkpoint(directory.path), on: device)
        let projection = weights["m.layers"][3]["q_proj"]
        #expect(try projection.tensor("weight", [2, 4]).shape == [2, 4])
        #expect(try projection.tensorIfPresent("input_min", []) == nil)
        #expect(
            message { try projection.tensor("bias", [2]) }
                == "\(directory.path): a tensor is missing.\n  m.layers.3.q_proj.bias: missing, expected [2]")
        #expect(
            message { try projection.tensor("weight", [4, 2]) }
                == "\(directory.path)/model.safetensors: a tensor has another shape.\n"
                + "  m.layers.3.q_proj.weight: expected [4, 2], found [2, 4]")
    }

    // MARK: Shards

    private func shards(index: String, _ shards: [String: [UInt8]]) throws -> TemporaryDirectory {
        let directory = try TemporaryDirectory()
        try directory.write(index.utf8, to: "model.safetensors.index.json")
        for (name, bytes) in shards { try directory.write(bytes, to: name) }
        return directory
    }

    private static let remedy = "Download the index and its shards again; all must be of one version."

    @Test func joinsShards() throws {
        let directory = try shards(
            index: #"{"metadata": {"total_size": 10}, "weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}"#,
            [
                "1.safetensors": safetensorsFile(zeros: [("a", [2])]),
                "2.safetensors": safetensorsFile(zeros: [("b", [3])]),
            ])
        let checkpoint = try Checkpoint(directory.path)
        #expect(checkpoint.entries.mapValues(\.shape) == ["a": [2], "b": [3]])
    }

    @Test(
        arguments: [
            (
                #"{"metadata": {}}"#,
                ": expected a weight_map that names the file of every tensor, found none. \(remedy)"
            ),
            (
                #"{"weight_map": {"a": "../1.safetensors"}}"#,
                ", a: expected the name of a file beside the index, found \"../1.safetensors\". \(remedy)"
            ),
            (#"{"weight_map": {"a": 1}}"#, ", a: expected the name of a file beside the index, found 1. \(remedy)"),
            (
                #"{"weight_map": {"a": "1.safetensors", "b": "2.safetensors", "c": "3.safetensors"}}"#,
                ": expected 3 shards, found no 2.safetensors, no 3.safetensors. Download the missing shards."
            ),
            (
                #"{"weight_map": {"b": "1.safetensors"}}"#,
                ", b: expected this tensor in 1.safetensors, found none there. \(remedy)"
            ),
            (
                #"{"weight_map": {"a": "1.safetensors", "c": "1.safetensors", "b": "1.safetensors"}}"#,
                ", b: expected this tensor in 1.safetensors, found none there, nor 1 others. \(remedy)"
            ),
            (
                #"{"weight_map": {"a": "#,
                ", line 1, column 22: expected a value, found the end of the text. Download the file again, or mend it there."
            ),
        ] as [(String, String)])
    func refusesBrokenIndices(index: String, expected: String) throws {
        let directory = try shards(index: index, ["1.safetensors": safetensorsFile(zeros: [("a", [2])])])
        #expect(
            message { try Checkpoint(directory.path) } == "\(directory.path)/model.safetensors.index.json\(expected)")
    }

    @Test func refusesDirectoriesWithoutWeights() throws {
        let directory = try TemporaryDirectory()
        let expected = "expected model.safetensors or model.safetensors.index.json"
        #expect(
            message { try Checkpoint(directory.path) }
                == "\(directory.path): \(expected), found neither. Give the directory of a complete download.")
        #expect(
            message { try Checkpoint("/nowhere") }
                == "/nowhere: \(expected), found no such directory. Give the directory of a complete download.")
    }

    @Test func refusesTwoTensorsOfOneName() throws {
        let directory = try TemporaryDirectory()
        try directory.write(safetensorsFile(zeros: [("a", [1]), ("b", [1])]), to: "model.safetensors")
        #expect(
            message { try Checkpoint(directory.path, rename: { _ in "c" }) }.hasSuffix(
                "expected every tensor once, found a second one that stands for c."))
    }

    @Test func listsMismatchesUpToALimit() {
        let mismatches = (0..<25).map { TensorMismatch.superfluous("t\($0)", found: [$0]) }
        let error = CheckpointError(
            .tensorMismatch, file: "d", found: "25 superfluous", remedy: "Mend it.", mismatches: mismatches)
        let lines = error.description.split(separator: "\n")
        #expect(lines.count == 23)
        #expect(lines[1] == "  t0: [0], not part of this model")
        #expect(lines[21] == "  and 5 more.")
        #expect(lines[22] == "Mend it.")
    }
}
