import Foundation
import Tensors
import TestSupport
import Testing
import Weights

/// The same weights, stored in every element type and in one file or several, load as the same values.
struct ResavedCheckpointTests {
    private static let variants = ["E2B", "E4B", "12B", "31B", "26B-A4B"]
    private let device = Device(threadCount: 1)

    @Test(arguments: variants, [ResavedCheckpoint.ElementType.float32, .bfloat16, .float16])
    func readsTheSameNumbers(variant: String, elementType: ResavedCheckpoint.ElementType) throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let published = try Checkpoint(folder.appending(path: "Goldens/\(variant)/checkpoint").path())
        // Exact, except that bf16 values below 2⁻¹⁴ lose digits in f16, whose steps there are 2⁻²⁴.
        let tolerance: Float = elementType == .float16 ? 0x1p-25 : 0
        for shards in [1, 3] {
            let copy = try ResavedCheckpoint(published.path, as: elementType, shards: shards)
            let resaved = try Checkpoint(copy.path)
            #expect(resaved.entries.mapValues(\.shape) == published.entries.mapValues(\.shape))
            for (name, entry) in published.entries {
                let shape = Shape(entry.shape)
                let expected = try #require(try published.tensor(name, shape, on: device)).toArray()
                let found = try #require(try resaved.tensor(name, shape, on: device)).toArray()
                let largest = zip(expected, found).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
                #expect(largest <= tolerance, "\(name)")
                #expect(expected.count == found.count && !found.contains { $0.isNaN }, "\(name)")
            }
        }
    }
}
