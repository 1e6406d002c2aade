import Testing

@testable import Gemma4

struct LayerPlanTests {
    /// Google's spelling and the one that transformers saves describe the same model.
    @Test(arguments: Published.allCases)
    func bothSpellingsGiveEqualConfigurations(variant: Published) throws {
        let resaved = try ModelConfiguration(contentsOf: variant.resavedPath)
        let published = try variant.configuration
        #expect(resaved.textConfig.layerPlans == published.textConfig.layerPlans)
        #expect(resaved.visionConfig == published.visionConfig)
        #expect(resaved.audioConfig == published.audioConfig)
        #expect(resaved.unifiedVisionConfig == published.unifiedVisionConfig)
        #expect(resaved.unifiedAudioConfig == published.unifiedAudioConfig)
        #expect(resaved.eoaTokenId == published.eoaTokenId)
        #expect(TensorTable(resaved).rows == TensorTable(published).rows)
    }

    @Test(arguments: [
        (Published.e2b, 15, [13, 14]), (.e4b, 24, [22, 23]), (.dense31b, 60, []), (.sparse26b, 30, []),
        (.unified12b, 48, []),
    ])
    func lastLayersShareKeysAndValues(variant: Published, firstShared: Int, sources: [Int]) throws {
        let plans = try variant.configuration.textConfig.layerPlans
        for plan in plans {
            #expect(plan.ownsKeyValues == (plan.index < firstShared))
            guard plan.index >= firstShared else { continue }
            #expect(plan.keyValueSource == sources[plan.window == nil ? 1 : 0])
            #expect(plans[plan.keyValueSource].window == plan.window)
        }
    }

    @Test(arguments: [
        (Published.e2b, 5, 512), (.e4b, 6, 512), (.unified12b, 6, 1024), (.dense31b, 6, 1024), (.sparse26b, 6, 1024),
    ])
    func everyFewLayersOneIsFull(variant: Published, period: Int, window: Int) throws {
        let text = try variant.configuration.textConfig
        for plan in text.layerPlans {
            let isFull = (plan.index + 1) % period == 0
            #expect(plan.window == (isFull ? nil : window))
            #expect(plan.headDimension == (isFull ? 512 : 256))
            #expect(plan.rotary.ropeTheta == (isFull ? 1_000_000 : 10_000))
            #expect(plan.rotary.partialRotaryFactor == (isFull ? 0.25 : 1))
            #expect(plan.keysAreValues == (isFull && period == 6 && window == 1024))
            #expect(plan.seesWholeImages == (!isFull && window == 1024))
        }
        #expect(text.layerPlans.last?.window == nil)
    }

    @Test(arguments: [(Published.e2b, 1, 1), (.e4b, 2, 2), (.dense31b, 16, 4), (.sparse26b, 8, 2), (.unified12b, 8, 1)])
    func fullLayersHaveTheirOwnKeyValueHeads(variant: Published, sliding: Int, full: Int) throws {
        for plan in try variant.configuration.textConfig.layerPlans {
            #expect(plan.numKeyValueHeads == (plan.window == nil ? full : sliding))
        }
    }

    @Test func sharedLayersOfE2BAreDoublyWide() throws {
        for plan in try Published.e2b.configuration.textConfig.layerPlans {
            #expect(plan.intermediateSize == (plan.index < 15 ? 6144 : 12288))
        }
    }

    @Test func everyLayerOf26BHasExperts() throws {
        for plan in try Published.sparse26b.configuration.textConfig.layerPlans {
            #expect(plan.experts?.numExperts == 128)
            #expect(plan.experts?.topKExperts == 8)
            #expect(plan.experts?.moeIntermediateSize == 704)
        }
    }
}
