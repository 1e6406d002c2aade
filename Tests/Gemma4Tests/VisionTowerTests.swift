import Tensors
import TestSupport
import Testing
import Weights

@testable import Gemma4

/// Against transformers in f32. On these checkpoints that is up to 1.3e-6 of the largest output away from transformers
/// in float64, and we up to 1.1e-6 (measured over 12 images and all components); the tolerance is six times the sum.
private let tolerance: Float = 1.5e-5

/// The pictures whose pixels the goldens hold, by grid: one row of soft tokens, upright, nearly square.
private let pictures = ["wide", "tall", "noise"]

@Suite struct VisionTowerTests {
    /// Each component on the reference's own input, so that errors do not mask each other.
    @Test(arguments: Goldens.variantsWithTowers)
    func componentsEqualTransformers(variant: String) throws {
        let tower = try Fixture(variant)
        let goldens = try Goldens("\(variant)/expected.safetensors")
        let trace = tower.traceName
        let (patches, grid) = try tower.patches(of: "wide")
        let angles = AxialAngles(tower.vision.configuration, grid, on: tower.device)

        var expected = try goldens("\(trace).vision.embedded")
        tower.expectClose(tower.vision.patchEmbedder(patches, 0..<grid.count, of: grid), expected)
        for (index, layer) in tower.vision.layers.enumerated() {
            let input = tower.tensor(expected)
            expected = try goldens("\(trace).vision.layer.\(index)")
            let (keys, values) = layer.keyValues(input, angles)
            let segment = KeyValueSegment(firstPosition: 0, keys: keys, values: values)
            tower.expectClose(layer(input, angles, attendingTo: segment), expected)
        }
        let encoded = tower.tensor(expected)
        tower.expectClose(tower.vision.pooler(encoded, grid), try goldens("\(trace).vision.tower"))
        tower.expectClose(
            tower.embedder(tower.tensor(try goldens("\(trace).vision.tower"))), try goldens("\(trace).vision.soft"))
    }

    /// Means before standardization, in raster order of the squares.
    @Test(arguments: Goldens.variantsWithTowers)
    func pooledMeansEqualTransformers(variant: String) throws {
        let tower = try Fixture(variant)
        let goldens = try Goldens("\(variant)/expected.safetensors")
        let (_, grid) = try tower.patches(of: "wide")
        let last = tower.vision.layers.count - 1
        let encoded = tower.tensor(try goldens("\(tower.traceName).vision.layer.\(last)"))
        tower.expectClose(
            tower.vision.pooler.means(encoded, grid), try goldens("\(tower.traceName).vision.pooled"))
    }

    /// A layer gives the same in portions as at once. Within 1e-5 of the largest value: f32 sums are regrouped.
    @Test(arguments: Goldens.variantsWithTowers)
    func portionsOfALayerAgree(variant: String) throws {
        let tower = try Fixture(variant)
        let (patches, grid) = try tower.patches(of: "wide")
        let whole = try tower.vision(patches, grid).toArray()
        for rows in [1, 64, 100, 1000] {
            var job = EncoderJob(patches, try tower.vision.stages(grid))
            var portions = 0
            var result: Tensor?
            while result == nil {
                result = job.advance(rows: rows)
                portions += 1
            }
            let layers = tower.vision.layers.count
            // The patch embedder, keys and values of each layer and the layer are cut, the pooler is not. No portion has
            // fewer than 64 rows.
            var (left, cuts) = (grid.count, 0)
            while left > 0 {
                let most = max(rows, 64)
                left -= left <= most || left < 128 ? left : left < most + 64 ? left - 64 : most
                cuts += 1
            }
            #expect(portions == 1 + cuts * (1 + 2 * layers))
            expectClose(result!.toArray(), whole, absolute: 1e-5 * whole.reduce(1) { max($0, abs($1)) })
        }
    }

    @Test(arguments: Goldens.variantsWithTowers, pictures)
    func softTokensEqualTransformers(variant: String, picture: String) throws {
        let tower = try Fixture(variant)
        let (patches, grid) = try tower.patches(of: picture)
        let soft = tower.embedder(try tower.vision(patches, grid))
        tower.expectClose(soft, try Goldens("\(variant)/expected.safetensors")("\(picture).soft"))
    }

    /// How rows are cut does not depend on the number of threads: no tolerance.
    @Test(arguments: ["E2B", "31B"])
    func threadCountsAgree(variant: String) throws {
        let results = try [1, 3].map { count in
            let tower = try Fixture(variant, threadCount: count)
            let (patches, grid) = try tower.patches(of: "noise")
            return tower.embedder(try tower.vision(patches, grid)).toArray()
        }
        #expect(results[0] == results[1])
    }

    /// Widening bf16 is exact: no tolerance.
    @Test func elementTypesAgree() throws {
        let results = try [false, true].map { widened in
            let tower = try Fixture("31B", widened: widened)
            let (patches, grid) = try tower.patches(of: "tall")
            return tower.embedder(try tower.vision(patches, grid)).toArray()
        }
        #expect(results[0] == results[1])
    }

    @Test func refusesMorePatchesThanPositions() throws {
        let tower = try Fixture("E2B")
        let limit = tower.vision.configuration.positionEmbeddingSize
        let grid = PatchGrid(columns: 3, rows: limit + 2)
        let patches = Tensor(zeros: [grid.count, 768], on: tower.device)
        let error = #expect(throws: ModelInputError.self) { try tower.vision(patches, grid) }
        #expect(error?.code == .imageSide(patches: limit + 2, limit: limit))
        #expect(error?.description.hasPrefix("the image is \(limit + 2) patches long;") == true)
    }

    /// 2D RoPE: the first half of a head rotates by the column, the second by the row: shown by one pair of each.
    @Test func firstHalfTurnsWithColumn() throws {
        let device = Device(threadCount: 1)
        let path = Goldens.checkpoint("26B-A4B")
        let configuration = try #require(ModelConfiguration(contentsOf: "\(path)/config.json").visionConfig)
        let (size, grid) = (configuration.headDim, PatchGrid(columns: 3, rows: 2))
        let ones = Tensor(Array(repeating: 1, count: grid.count * size), [grid.count, 1, size], on: device)
        let turned = AxialAngles(configuration, grid, on: device).rotate(ones).toArray()
        let patch = 5  // column 2, row 1; the first frequency of either half is 1
        // cos a − sin a, each of the three roundings below 2^-24.
        #expect(abs(turned[patch * size] - (-0.416_146_84 - 0.909_297_43)) < 3e-7)
        #expect(abs(turned[patch * size + size / 2] - (0.540_302_3 - 0.841_471)) < 3e-7)
    }
}

/// The vision tower of a toy checkpoint.
private struct Fixture {
    let device: Device
    let vision: VisionTower
    let embedder: MultimodalEmbedder
    let processor: ImageProcessor
    let traceName: String

    init(_ variant: String, threadCount: Int? = nil, widened: Bool = false) throws {
        let path = Goldens.checkpoint(variant)
        let configuration = try ModelConfiguration(contentsOf: "\(path)/config.json")
        let vision = try #require(configuration.visionConfig)
        device = Device(threadCount: threadCount)
        let checkpoint = try Checkpoint(path)
        let weights = WeightScope(widened ? WidenedWeights(checkpoint) : checkpoint, on: device)["model"]
        self.vision = try VisionTower(vision, weights["vision_tower"])
        embedder = try MultimodalEmbedder(
            vision.hiddenSize, configuration.textConfig.hiddenSize, eps: vision.rmsNormEps, weights["embed_vision"])
        processor = try ImageProcessor(
            patchSize: vision.patchSize, poolingKernelSize: vision.poolingKernelSize,
            maxSoftTokens: variant == "26B-A4B" ? 140 : 70)
        traceName = configuration.audioConfig == nil ? "image" : "image-audio"
    }

    func patches(of picture: String) throws -> (Tensor, PatchGrid) {
        let pixels = try Goldens("components.safetensors")("\(picture).pixels")  // [height, width, 3]
        let image = try processor(
            width: pixels.shape[1], height: pixels.shape[0], rgb: pixels.values.map { UInt8($0) })
        let shape: Shape = [image.count, image.values.count / image.count]
        return (Tensor(image.values, shape, on: device), image.grid)
    }

    func tensor(_ golden: Goldens.Values) -> Tensor { Tensor(golden.values, Shape(golden.shape), on: device) }

    func expectClose(_ found: Tensor, _ golden: Goldens.Values, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(found.shape == Shape(golden.shape), sourceLocation: sourceLocation)
        TestSupport.expectClose(
            found.toArray(), golden.values, absolute: tolerance * golden.scale, sourceLocation: sourceLocation)
    }
}
