import Tensors
import Testing

@testable import Weights

struct SyntheticWeightsTests {
    @Test(arguments: [[1, 1], [3, 64], [5, 1000], [300, 1536]])
    func matricesKeepTheSizeOfWhatPasses(dimensions: [Int]) throws {
        let shape = Shape(dimensions)
        let weights = try WeightScope(SyntheticWeights(), on: Device(threadCount: 1)).tensor("weight", shape)
        #expect(weights.elementType == .bfloat16)
        let values = weights.toArray()
        // Magnitudes are 2^e · [1, 2), and e is chosen to within a factor of 2 of 1/√columns: [1/2, 2) of it in all.
        let wanted = 1 / Float(shape.columns).squareRoot()
        #expect(values.allSatisfy { abs($0) >= wanted / 2 && abs($0) < wanted * 2 })
        if values.count > 100 { #expect(abs(values.reduce(0, +) / Float(values.count)) < wanted / 5) }  // both signs
    }

    @Test func vectorsAreOneAndScalarsAbsent() throws {
        let weights = WeightScope(SyntheticWeights(), on: Device(threadCount: 1))
        #expect(try weights.tensor("weight", [70_000]).toArray().allSatisfy { $0 == 1 })
        #expect(try weights.tensorIfPresent("input_min", []) == nil)
    }

    @Test(arguments: [ElementType.q8_0, .q4_0, .q4_K, .q6_K, .mxfp4, .iq2_xxs, .iq2_xs, .iq2_s, .iq3_xxs, .iq3_s])
    func blocksKeepTheSizeToo(type: ElementType) throws {
        let source = SyntheticWeights { $0 == "weight" ? type : .bfloat16 }
        let scope = WeightScope(source, on: Device(threadCount: 2))
        let weights = try scope.tensor("weight", [300, 1536])
        #expect(weights.elementType == type)
        let values = weights.toArray()
        let rms = (values.reduce(0) { $0 + $1 * $1 } / Float(values.count)).squareRoot()
        #expect(rms > 0.5 / Float(1536).squareRoot() && rms < 2 / Float(1536).squareRoot())
        #expect(try scope.tensor("other", [3, 64]).elementType == .bfloat16)
        #expect(try scope.tensor("weight", [1536]).elementType == .bfloat16)
    }

    @Test func doNotDependOnThreads() throws {
        let shape: Shape = [400, 500]
        let one = try WeightScope(SyntheticWeights(), on: Device(threadCount: 1)).tensor("weight", shape)
        let three = try WeightScope(SyntheticWeights(), on: Device(threadCount: 3)).tensor("weight", shape)
        #expect(one.toArray() == three.toArray())
    }
}
