// OHIF on the box: one data source, the appliance's own images, and nothing from elsewhere.

// A finding some slices away from the first is not seen: go to it once, and list what there is.
const showFindings = {
  id: 'clic-edge.show-findings',
  onModeEnter({ servicesManager }) {
    const { panelService, segmentationService, viewportGridService } = servicesManager.services;
    const shown = new Set();
    const show = (segmentationId, viewportId) => {
      const viewport = viewportGridService.getState().viewports.get(viewportId);
      // The preview, which lies in a viewport of its own, goes away by itself.
      const isPreview = viewport?.displaySetInstanceUIDs.includes(segmentationId);
      if (!viewport || isPreview || shown.has(segmentationId)) {
        return;
      }
      const { segments } = segmentationService.getSegmentation(segmentationId) ?? {};
      const found = Object.values(segments ?? {}).find(one => one.cachedStats?.center);
      if (!found) {
        return;
      }
      shown.add(segmentationId);
      const index = found.segmentIndex;
      segmentationService.jumpToSegmentCenter(segmentationId, index, viewportId, undefined, false);
      panelService.activatePanel('@ohif/extension-cornerstone.panelModule.panelSegmentation', true);
    };
    segmentationService.subscribe(
      segmentationService.EVENTS.SEGMENTATION_REPRESENTATION_MODIFIED,
      ({ segmentationId, viewportId }) => window.setTimeout(show, 0, segmentationId, viewportId)
    );
  },
};

// A series is shown with its segmentation as soon as it is opened; OHIF waits to be asked.
const showWithSegmentation = {
  id: 'clic-edge.show-with-segmentation',
  onModeEnter({ servicesManager, commandsManager }) {
    const { displaySetService, hangingProtocolService, viewportGridService } =
      servicesManager.services;
    const opened = new Set();
    // OHIF can't load a FRACTIONAL one.
    const kinds = ['BINARY', 'LABELMAP'];
    const rank = one => kinds.indexOf(one.instances?.[0]?.SegmentationType);
    const segmentationOf = uid =>
      displaySetService
        .getActiveDisplaySets()
        .filter(one => one.referencedDisplaySetInstanceUID === uid && rank(one) >= 0)
        .sort((one, other) => rank(one) - rank(other))[0];
    const show = () => {
      for (const [viewportId, viewport] of viewportGridService.getState().viewports) {
        const [uid] = viewport.displaySetInstanceUIDs ?? [];
        if (!uid) {
          continue;
        }
        const shown = displaySetService.getDisplaySetByUID(uid);
        const segmentation = segmentationOf(uid);
        if (shown?.referencedDisplaySetInstanceUID) {
          opened.add(shown.referencedDisplaySetInstanceUID);
        } else if (segmentation && !opened.has(uid)) {
          opened.add(uid);
          commandsManager.run('setDisplaySetsForViewports', {
            viewportsToUpdate: hangingProtocolService.getViewportsRequireUpdate(
              viewportId, segmentation.displaySetInstanceUID
            ),
          });
        }
      }
    };
    const { GRID_STATE_CHANGED } = viewportGridService.EVENTS;
    viewportGridService.subscribe(GRID_STATE_CHANGED, () => window.setTimeout(show, 0));
    const { DISPLAY_SETS_ADDED } = displaySetService.EVENTS;
    displaySetService.subscribe(DISPLAY_SETS_ADDED, () => window.setTimeout(show, 0));
  },
};

// OHIF draws the outlines of a measurement report, and shows a black field where one of its findings
// has none. It has a view for reports as text: let it take those.
const readableReports = {
  id: 'clic-edge.readable-reports',
  onModeEnter({ servicesManager }) {
    const { displaySetService } = servicesManager.services;
    const items = item => [item, ...[item.ContentSequence ?? []].flat().flatMap(items)];
    const below = group => [group.ContentSequence ?? []].flat();
    const isNamed = code => item => item.ConceptNameCodeSequence?.CodeValue === code;
    const trackingUid = group => below(group).find(isNamed('112040'))?.UID;
    const isDrawn = item => /^SCOORD/.test(item.ValueType) && item.GraphicType !== 'POLYGON';
    const hasOutlines = report => {
      const groups = items(report).filter(isNamed('125007'));
      const drawn = new Set(groups.filter(group => below(group).some(isDrawn)).map(trackingUid));
      return groups.length > 0 && groups.every(group => drawn.has(trackingUid(group)));
    };
    displaySetService.subscribe(
      displaySetService.EVENTS.DISPLAY_SETS_ADDED,
      ({ displaySetsAdded }) => {
        for (const one of displaySetsAdded.filter(one => one.Modality === 'SR')) {
          // Else its outlines become annotations of OHIF's own, with numbers of OHIF's own.
          Object.defineProperty(one, 'isRehydratable', { get: () => false, set: () => {} });
          if (one.isImagingMeasurementReport && !hasOutlines(one.instance)) {
            one.isImagingMeasurementReport = false;
          }
        }
      }
    );
  },
};

window.config = {
  name: 'clic-edge',
  routerBasename: '/viewer',
  extensions: [showFindings, showWithSegmentation, readableReports],
  modes: [],
  // The tour would cover the images at each first visit.
  customizationService: { 'ohif.tours': { $set: [] } },
  investigationalUseDialog: { option: 'configure', days: 30 },
  showStudyList: true,
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  // What the appliance found is shown at once; nothing asks whether to load it.
  disableConfirmationPrompts: true,
  strictZSpacingForVolumeViewport: true,
  groupEnabledModesFirst: true,
  maxNumRequests: { interaction: 16, thumbnail: 4, prefetch: 8 },
  showErrorDetails: 'always',
  defaultDataSourceName: 'appliance',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'appliance',
      configuration: {
        friendlyName: 'clic-edge',
        name: 'appliance',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        qidoSupportsIncludeField: false,
        supportsReject: false,
        supportsStow: false,
        dicomUploadEnabled: false,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        omitQuotationForMultipartRequest: true,
        singlepart: 'bulkdata',
        bulkDataURI: { enabled: true, relativeResolution: 'studies' },
      },
    },
  ],
};
